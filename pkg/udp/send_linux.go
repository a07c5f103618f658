package udp

import (
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wire is one lane as sendmmsg wants it: a message per run, or per packet of a run that may not be segmented.
type wire struct {
	transmit func(fd uintptr) // made once, so that calling it allocates nothing
	load     *load
	driver   *batched // whose lane it is
	dropped  int

	messages int
	msgs     [batchLen]unix.Mmsghdr
	runs     [batchLen]uint8 // of each message
	names    [batchLen]unix.RawSockaddrInet6
	control  [batchLen]struct {
		unix.Cmsghdr
		size uint16
	}
	pieces int
	iovs   [2 * batchLen]unix.Iovec
	single [batchLen]unix.Mmsghdr // of a run that was refused
}

func newLoad() *load {
	l := new(load)
	l.wire.load = l
	l.wire.transmit = l.wire.transmitLane
	for i := range l.wire.control {
		c := &l.wire.control[i]
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
	}
	return l
}

func (d *batched) send(l *load, ln *lane) (dropped int) {
	w := &l.wire
	w.driver = d
	w.build(ln)
	if w.messages > 0 && d.raw.Control(w.transmit) != nil {
		w.dropped = l.count(ln)
	}
	clear(w.iovs[:w.pieces])
	w.driver = nil
	return w.dropped
}

// build lays out the messages of a lane.
func (w *wire) build(ln *lane) {
	w.messages, w.pieces, w.dropped = 0, 0, 0
	for i, at := 0, ln.first; i < ln.runs; i, at = i+1, w.load.runs[at].next {
		r := &w.load.runs[at]
		m := w.messages
		nameLen, ok := putName(&w.names[m], r.to)
		if !ok {
			w.dropped += r.packets
			continue
		}
		w.runs[m] = at
		first := w.pieces
		w.addPieces(r)
		h := &w.msgs[m].Hdr
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&w.names[m])), nameLen
		h.Iov = &w.iovs[first%len(w.iovs)] // a packet of no bytes has no pieces
		h.SetIovlen(w.pieces - first)
		h.Control = nil
		h.SetControllen(0)
		if r.packets > 1 {
			w.control[m].size = uint16(r.size)
			h.Control = (*byte)(unsafe.Pointer(&w.control[m]))
			h.SetControllen(unix.CmsgSpace(2))
		}
		w.messages++
	}
}

func (w *wire) addPieces(r *run) {
	for i, at := 0, r.first; i < r.packets; i, at = i+1, w.load.packets[at].next {
		p := &w.load.packets[at]
		if p.headLen > 0 {
			w.addPiece(p.head[:p.headLen])
		}
		if len(p.body) > 0 {
			w.addPiece(p.body)
		}
	}
}

func (w *wire) addPiece(b []byte) {
	w.iovs[w.pieces].Base = unsafe.SliceData(b)
	w.iovs[w.pieces].SetLen(len(b))
	w.pieces++
}

func (w *wire) transmitLane(fd uintptr) {
	for done := 0; done < w.messages; {
		n, refused := w.driver.transmit(fd, w.msgs[done:w.messages])
		done += n
		if refused == 0 {
			continue
		}
		r := &w.load.runs[w.runs[done]]
		switch {
		case r.packets > 1 && notSegmented(refused):
			if lacksOffload(refused) {
				w.driver.socket.segment.Store(0)
			}
			w.transmitSingly(fd, r, &w.msgs[done].Hdr)
		case refused == unix.EAGAIN:
			w.dropFrom(done)
			return
		default:
			w.dropped += r.packets
		}
		done++
	}
}

// transmit sends messages until all are sent or one is refused.
func (d *batched) transmit(fd uintptr, msgs []unix.Mmsghdr) (sent int, refused syscall.Errno) {
	retried := false
	for sent < len(msgs) {
		n, errno := d.sendmmsg(fd, msgs[sent:])
		switch {
		case errno == 0:
			sent += n
			retried = false
		case errno == unix.EINTR:
		case errno == unix.ECONNREFUSED && !retried:
			retried = true // the news was of an earlier packet, and is told once
		default:
			return sent, errno
		}
	}
	return sent, 0
}

// transmitSingly sends each packet of a run by itself, with the pieces of its message h.
func (w *wire) transmitSingly(fd uintptr, r *run, h *unix.Msghdr) {
	pieces := unsafe.Slice(h.Iov, h.Iovlen)
	for i, at := 0, r.first; i < r.packets; i, at = i+1, w.load.packets[at].next {
		p := &w.load.packets[at]
		n := 0
		for bytes := 0; bytes < p.len(); n++ {
			bytes += int(pieces[n].Len)
		}
		w.single[i].Hdr = *h
		w.single[i].Hdr.Iov = &pieces[0]
		w.single[i].Hdr.SetIovlen(n)
		w.single[i].Hdr.Control = nil
		w.single[i].Hdr.SetControllen(0)
		pieces = pieces[n:]
	}
	for done := 0; done < r.packets; {
		n, refused := w.driver.transmit(fd, w.single[done:r.packets])
		done += n
		if refused == unix.EAGAIN {
			w.dropped += r.packets - done
			return
		}
		if refused != 0 {
			w.dropped++
			done++
		}
	}
}

// dropFrom gives up the messages from the given one on.
func (w *wire) dropFrom(message int) {
	for ; message < w.messages; message++ {
		w.dropped += w.load.runs[w.runs[message]].packets
	}
}

// notSegmented reports whether an error may be about the segments: the same packets, sent singly, may pass. Segments
// above the path's MTU are EINVAL or, since Linux 6.14, EMSGSIZE. That is not remembered: it is one destination's
// path, and must not slow down all others.
func notSegmented(errno syscall.Errno) bool {
	return errno == unix.EINVAL || errno == unix.EMSGSIZE || lacksOffload(errno)
}

// lacksOffload reports whether the kernel, or the network device for want of checksums, cannot segment at all.
func lacksOffload(errno syscall.Errno) bool {
	return errno == unix.EIO || errno == unix.ENOPROTOOPT || errno == unix.EOPNOTSUPP
}

// putName writes a socket address, and reports its length, or that the zone is not numeric.
func putName(name *unix.RawSockaddrInet6, to netip.AddrPort) (length uint32, ok bool) {
	if to.Addr().Is4() {
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(name)) = unix.RawSockaddrInet4{
			Family: unix.AF_INET, Port: port(to.Port()), Addr: to.Addr().As4(),
		}
		return uint32(unsafe.Sizeof(unix.RawSockaddrInet4{})), true
	}
	*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: port(to.Port()), Addr: to.Addr().As16()}
	if zone := to.Addr().Zone(); zone != "" {
		id, err := strconv.ParseUint(zone, 10, 32)
		if err != nil {
			return 0, false
		}
		name.Scope_id = uint32(id)
	}
	return nameLen, true
}
