package udp

import (
	"encoding/binary"
	"net/netip"
	"sync"
)

// loads is shared by all queues: as many exist as are being filled at one time.
var loads = sync.Pool{New: func() any { return newLoad() }}

// load is what a queue holds: packets, each in a run, each run in a lane. All of them are referred to by position.
//
//	lane (socket) ── run (destination, size) ── packet
//	              │                          └─ packet
//	              └─ run …
//
// A packet is linked to the next of its run, a run to the next of its lane, so they may come interleaved.
type load struct {
	packets  [batchLen]packet
	runs     [batchLen]run
	lanes    [batchLen]lane
	nPackets int
	nRuns    int
	nLanes   int
	last     int   // the run that got the last packet
	runAt    index // the last run of each socket and destination
	laneAt   index

	copies  []byte // of packets added by AddCopy
	scratch []byte // of a driver that needs a packet in one piece
	wire    wire   // of the driver that sends in batches
}

type packet struct {
	body    []byte
	headLen uint8
	next    uint8
	head    [MaxHead]byte
}

func (p *packet) len() int { return int(p.headLen) + len(p.body) }

// run is packets for one destination that may leave as one segmented message: all of one size, the last may be
// shorter.
type run struct {
	socket      *Socket
	to          netip.AddrPort
	size        int // of the first packet, in bytes
	bytes       int // of all
	packets     int
	first, tail uint8 // packets
	next        uint8
	ended       bool // by a shorter packet
}

// lane is what leaves by one socket.
type lane struct {
	socket      *Socket
	runs        int
	first, tail uint8 // runs
}

func (l *load) hasRoom(copied int) bool {
	return l.nPackets < batchLen && len(l.copies)+copied <= maxPayload
}

// keep copies p; hasRoom was asked.
func (l *load) keep(p []byte) []byte {
	if l.copies == nil {
		l.copies = make([]byte, 0, maxPayload)
	}
	at := len(l.copies)
	l.copies = append(l.copies, p...)
	return l.copies[at:]
}

func (l *load) add(s *Socket, to netip.AddrPort, head, body []byte) {
	at := l.nPackets
	l.nPackets++
	p := &l.packets[at]
	p.headLen = uint8(copy(p.head[:], head))
	p.body = body
	r := l.runFor(s, to, p.len())
	if r.packets == 0 {
		r.first = uint8(at)
	} else {
		l.packets[r.tail].next = uint8(at)
	}
	r.tail = uint8(at)
	r.packets++
	r.bytes += p.len()
	r.ended = p.len() < r.size
}

// runFor finds the run that a packet of so many bytes joins, or begins one.
func (l *load) runFor(s *Socket, to netip.AddrPort, size int) *run {
	if l.nRuns > 0 {
		if r := &l.runs[l.last]; r.isFor(s, to) && r.takes(size) {
			return r
		}
	}
	slot := l.runAt.slot(hash(s, to), func(at uint8) bool { return l.runs[at].isFor(s, to) })
	if *slot != 0 {
		if at := *slot - 1; l.runs[at].takes(size) {
			l.last = int(at)
			return &l.runs[at]
		}
	}
	l.last = l.nRuns
	*slot = uint8(l.nRuns) + 1
	return l.newRun(s, to, size)
}

func (l *load) newRun(s *Socket, to netip.AddrPort, size int) *run {
	at := uint8(l.nRuns)
	l.nRuns++
	ln := l.laneFor(s)
	if ln.runs == 0 {
		ln.first = at
	} else {
		l.runs[ln.tail].next = at
	}
	ln.tail = at
	ln.runs++
	r := &l.runs[at]
	*r = run{socket: s, to: to, size: size}
	return r
}

func (l *load) laneFor(s *Socket) *lane {
	slot := l.laneAt.slot(uint64(s.local.Port()), func(at uint8) bool { return l.lanes[at].socket == s })
	if *slot == 0 {
		l.lanes[l.nLanes] = lane{socket: s}
		l.nLanes++
		*slot = uint8(l.nLanes)
	}
	return &l.lanes[*slot-1]
}

func (r *run) isFor(s *Socket, to netip.AddrPort) bool { return r.socket == s && r.to == to }

// takes reports whether a further packet may join. No packet is empty in a run of several, as a segment cannot be.
func (r *run) takes(size int) bool {
	return !r.ended && 0 < size && size <= r.size && r.bytes+size <= maxPayload && r.size <= int(r.socket.segment.Load())
}

// send hands each lane to its socket and reports how many packets were dropped.
func (l *load) send() (dropped int) {
	for i := range l.nLanes {
		ln := &l.lanes[i]
		if ln.socket.closed.Load() {
			dropped += l.count(ln)
			continue
		}
		dropped += ln.socket.driver.send(l, ln)
	}
	return dropped
}

// count is the number of packets of a lane.
func (l *load) count(ln *lane) (n int) {
	for i, at := 0, ln.first; i < ln.runs; i, at = i+1, l.runs[at].next {
		n += l.runs[at].packets
	}
	return n
}

// reset forgets all, references to others' memory above all.
func (l *load) reset() {
	for i := range l.nPackets {
		l.packets[i].body = nil
	}
	clear(l.runs[:l.nRuns])
	clear(l.lanes[:l.nLanes])
	clear(l.runAt[:])
	clear(l.laneAt[:])
	l.nPackets, l.nRuns, l.nLanes, l.last = 0, 0, 0, 0
	l.copies = l.copies[:0]
}

// index finds positions by a hash: open addressing, never more than half full. A slot holds position + 1, or 0.
type index [2 * batchLen]uint8

// slot is the one that holds the position that is wanted, or the empty one where it belongs.
func (x *index) slot(hash uint64, wanted func(at uint8) bool) *uint8 {
	for i := hash; ; i++ {
		if slot := &x[i%uint64(len(x))]; *slot == 0 || wanted(*slot-1) {
			return slot
		}
	}
}

// hash spreads destinations; an unlucky choice of addresses costs a search among 64.
func hash(s *Socket, to netip.AddrPort) uint64 {
	ip := to.Addr().As16()
	h := binary.LittleEndian.Uint64(ip[:8]) ^ binary.LittleEndian.Uint64(ip[8:])
	h ^= uint64(to.Port())<<16 ^ uint64(s.local.Port())
	return h * 0x9e3779b97f4a7c15 >> 57
}
