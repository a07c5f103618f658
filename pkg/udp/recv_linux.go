package udp

import (
	"net/netip"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slotLen is the distance of two received messages in memory: the longest there is, and an odd bit more, since at
// a power of two the first bytes of all would compete for the same few lines of the processor's caches. Only pages
// that packets touch become resident.
const slotLen = 1<<16 + 1536 + 64

// batches is shared by all sockets: as many exist as are being read at one time.
var batches = sync.Pool{New: func() any { return newBatch() }}

// batch is what one recvmmsg fills.
type batch struct {
	msgs    [batchLen]unix.Mmsghdr
	iovs    [batchLen]unix.Iovec
	names   [batchLen]unix.RawSockaddrInet6
	control [batchLen]struct {
		unix.Cmsghdr
		size int32
	}
	packets [batchLen]Packet
	slots   []byte
}

const (
	nameLen    = uint32(unsafe.Sizeof(unix.RawSockaddrInet6{}))
	controlLen = int(unsafe.Sizeof(batch{}.control[0]))
)

func newBatch() *batch {
	b := &batch{slots: make([]byte, batchLen*slotLen)}
	for i := range b.msgs {
		b.iovs[i].Base = &b.slots[i*slotLen]
		b.iovs[i].SetLen(1 << 16)
		h := &b.msgs[i].Hdr
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Iov = &b.iovs[i]
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(&b.control[i]))
		b.rearm(i)
	}
	return b
}

// rearm sets the lengths that the kernel overwrites.
func (b *batch) rearm(i int) {
	b.msgs[i].Hdr.Namelen = nameLen
	b.msgs[i].Hdr.SetControllen(controlLen)
}

// serve handles packets inside the poller's callback: returning false then waits for news since the last empty
// read, which saves the read that would find it empty once more.
func (d *batched) serve(c *Coalescer, handle func([]Packet)) error {
	var fault error
	var round uint64
	err := d.raw.Read(func(fd uintptr) (done bool) {
		if c.awaits(time.Since(epoch), &round) {
			pause(moment)
		}
		fault = d.drain(fd, c, handle)
		return fault != nil || d.socket.closed.Load()
	})
	if fault != nil {
		return fault
	}
	return err
}

// drain reads until the socket is empty or closed. Errors are news of packets sent earlier, and reading goes on;
// too many in a row cannot be. When a part of a burst has been handled, more of it is likely to be there, and a look
// costs less than being woken; a second look would be at the cost of other sockets.
func (d *batched) drain(fd uintptr, c *Coalescer, handle func([]Packet)) error {
	b := batches.Get().(*batch)
	defer batches.Put(b)
	looked := false
	for faults := 0; !d.socket.closed.Load(); {
		n, errno := recvmmsg(fd, b.msgs[:])
		switch {
		case errno == unix.EAGAIN:
			return nil
		case errno != 0:
			if faults++; faults == maxFaults {
				return errno
			}
			continue
		}
		faults = 0
		c.read(n)
		d.deliver(b, n, handle)
		if n == 1 || n < batchLen && looked {
			return nil
		}
		looked = n < batchLen
	}
	return nil
}

// deliver splits the n messages read into packets.
func (d *batched) deliver(b *batch, n int, handle func([]Packet)) {
	filled := 0
	for i := range n {
		from := d.from(&b.names[i])
		data := b.slots[i*slotLen:][:b.msgs[i].Len]
		size := b.segment(i)
		b.rearm(i)
		for {
			end := min(size, len(data))
			b.packets[filled] = Packet{From: from, Data: data[:end:end]}
			data = data[end:]
			if filled++; filled == batchLen {
				handle(b.packets[:])
				filled = 0
			}
			if len(data) == 0 {
				break
			}
		}
	}
	if filled > 0 {
		handle(b.packets[:filled])
	}
}

// segment is the size of the packets in message i, of which the last may be shorter.
func (b *batch) segment(i int) int {
	c := &b.control[i]
	if int(b.msgs[i].Hdr.Controllen) >= unix.CmsgLen(4) && c.Level == unix.SOL_UDP && c.Type == unix.UDP_GRO && c.size > 0 {
		return int(c.size)
	}
	return slotLen
}

func (d *batched) from(name *unix.RawSockaddrInet6) netip.AddrPort {
	if !d.socket.is6 {
		name := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(name.Addr), port(name.Port))
	}
	ip := netip.AddrFrom16(name.Addr).Unmap()
	if name.Scope_id != 0 {
		ip = d.zone.of(ip, name.Scope_id)
	}
	return netip.AddrPortFrom(ip, port(name.Port))
}

// zone remembers the last zone met, so that a link-local sender costs no allocation per packet.
type zone struct {
	id   uint32
	name string
	addr netip.Addr // keeps the zone known to package netip
}

func (z *zone) of(ip netip.Addr, id uint32) netip.Addr {
	if z.id != id {
		z.id, z.name = id, strconv.FormatUint(uint64(id), 10)
		z.addr = ip.WithZone(z.name)
	}
	return ip.WithZone(z.name)
}
