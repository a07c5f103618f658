package udp

import (
	"fmt"
	"net/netip"
)

// MaxHead is the longest head of a queued packet, in bytes.
const MaxHead = 64

// Queue gathers packets for any sockets, so that they leave together. It belongs to one goroutine, or to whoever
// holds its lock. It holds 64 packets, flushes itself to make room for more, and takes no memory while it is empty.
type Queue struct {
	load    *load // nil: empty
	dropped int   // since the last Flush
}

// NewQueue makes an empty queue.
func NewQueue() *Queue { return new(Queue) }

// Add queues a packet made of head and body for a destination. The head, at most MaxHead bytes (longer panics), is
// copied; the body is kept, and must not change, until Flush. A packet longer than 65 507 bytes, or for an address
// not of the socket's family, is dropped, and so is one for an IPv6 zone that is not numeric (Serve gives numeric
// ones).
func (q *Queue) Add(s *Socket, to netip.AddrPort, head, body []byte) {
	if len(head) > MaxHead {
		panic(fmt.Sprintf("udp: head of %d bytes, at most %d", len(head), MaxHead))
	}
	to = unmap(to)
	if len(head)+len(body) > maxPayload || !s.reaches(to) {
		q.dropped++
		return
	}
	q.makeRoom(0)
	q.load.add(s, to, head, body)
}

// AddCopy is Add for a packet that the caller will change before Flush: it is copied.
func (q *Queue) AddCopy(s *Socket, to netip.AddrPort, p []byte) {
	to = unmap(to)
	if len(p) > maxPayload || !s.reaches(to) {
		q.dropped++
		return
	}
	q.makeRoom(len(p))
	q.load.add(s, to, nil, q.load.keep(p))
}

// Flush sends all that was added, in order per socket and destination. It never waits: what the kernel does not
// take is dropped, and counted, with all that was dropped since the last Flush. (Elsewhere than on Linux it may
// wait for room in a socket's send buffer.)
func (q *Queue) Flush() (dropped int) {
	q.send()
	dropped, q.dropped = q.dropped, 0
	return dropped
}

// makeRoom sees to a load with room for one more packet, of which so many bytes are copied.
func (q *Queue) makeRoom(copied int) {
	if q.load != nil && !q.load.hasRoom(copied) {
		q.send()
	}
	if q.load == nil {
		q.load = loads.Get().(*load)
	}
}

func (q *Queue) send() {
	if q.load == nil {
		return
	}
	q.dropped += q.load.send()
	q.load.reset()
	loads.Put(q.load)
	q.load = nil
}
