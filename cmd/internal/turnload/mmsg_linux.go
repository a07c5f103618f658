package turnload

import (
	"encoding/binary"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	receiveBatch = 64

	// maxDatagram is the longest that several packets can come or leave as.
	maxDatagram = 65_507
)

// incoming is where packets are received.
type incoming struct {
	messages [receiveBatch]unix.Mmsghdr
	vectors  [receiveBatch]unix.Iovec
	buffers  [receiveBatch][]byte
	controls [receiveBatch][]byte // what says how long the packets of a datagram are; empty: it is one packet
}

func newIncoming(offload bool) *incoming {
	in := new(incoming)
	size := maxFrame
	if offload {
		size = maxDatagram
	}
	for i := range in.messages {
		in.buffers[i] = make([]byte, size)
		in.vectors[i].Base = &in.buffers[i][0]
		in.vectors[i].SetLen(size)
		in.messages[i].Hdr.Iov = &in.vectors[i]
		in.messages[i].Hdr.SetIovlen(1)
		if offload {
			in.controls[i] = make([]byte, unix.CmsgSpace(4))
			in.messages[i].Hdr.Control = &in.controls[i][0]
		}
	}
	return in
}

// read hands over what has come to a socket, up to a batch: epoll says if there is more.
func (in *incoming) read(s *socket) {
	for i := range in.messages {
		in.messages[i].Hdr.SetControllen(len(in.controls[i])) // the kernel has written it
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&in.messages[0])), receiveBatch, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return // news of a packet that could not be delivered, or nothing there
	}
	for i := range int(n) {
		datagram := in.buffers[i][:in.messages[i].Len]
		size := in.packetSize(i, len(datagram))
		for len(datagram) > size {
			s.handle(datagram[:size])
			datagram = datagram[size:]
		}
		s.handle(datagram)
	}
}

// packetSize is how long the packets are that make up a datagram: udp(7), UDP_GRO.
func (in *incoming) packetSize(i, datagram int) int {
	control := in.controls[i][:min(int(in.messages[i].Hdr.Controllen), len(in.controls[i]))]
	if len(control) < unix.CmsgLen(4) {
		return datagram
	}
	header, data, _, err := unix.ParseOneSocketControlMessage(control)
	if err != nil || header.Level != unix.SOL_UDP || header.Type != unix.UDP_GRO || len(data) < 4 {
		return datagram
	}
	return max(int(binary.NativeEndian.Uint32(data)), 1)
}

// outgoing is where packets are sent from.
type outgoing struct {
	messages [MaxBurst]unix.Mmsghdr
	vectors  [MaxBurst]unix.Iovec
	name     [unix.SizeofSockaddrInet6]byte
	control  [24]byte
}

// sendTo sends to an address; none: to where the socket is connected.
func (s *socket) sendTo(frames [][]byte, to netip.AddrPort) error {
	out, _ := s.wire.outgoing.Get().(*outgoing)
	if out == nil {
		out = new(outgoing)
	}
	defer s.wire.outgoing.Put(out)
	for rest := out.fill(frames, to, s.wire.offload); len(rest) > 0; {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&rest[0])), uintptr(len(rest)), unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			return os.NewSyscallError("sendmmsg", errno)
		}
		rest = rest[n:]
	}
	return nil
}

// fill returns the messages that frames leave in: one each, or one for all.
func (out *outgoing) fill(frames [][]byte, to netip.AddrPort, offload bool) []unix.Mmsghdr {
	for i, frame := range frames {
		out.vectors[i].Base = &frame[0]
		out.vectors[i].SetLen(len(frame))
		out.messages[i].Hdr = unix.Msghdr{Iov: &out.vectors[i]}
		out.messages[i].Hdr.SetIovlen(1)
	}
	messages := out.messages[:len(frames)]
	if n := len(frames); offload && n > 1 && n*len(frames[0]) <= maxDatagram {
		messages = out.messages[:1]
		messages[0].Hdr.SetIovlen(n)
		messages[0].Hdr.Control = &out.control[0]
		messages[0].Hdr.SetControllen(putSegment(out.control[:], len(frames[0])))
	}
	if length := putName(&out.name, to); length > 0 {
		for i := range messages {
			messages[i].Hdr.Name, messages[i].Hdr.Namelen = &out.name[0], length
		}
	}
	return messages
}

// putSegment writes the control message that cuts a datagram into packets of size bytes: udp(7), UDP_SEGMENT.
func putSegment(control []byte, size int) (length int) {
	header := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	header.Level, header.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	header.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(control[unix.CmsgLen(0):], uint16(size))
	return unix.CmsgSpace(2)
}

// putName writes an address as the kernel reads it.
func putName(name *[unix.SizeofSockaddrInet6]byte, to netip.AddrPort) (length uint32) {
	port := [2]byte{byte(to.Port() >> 8), byte(to.Port())}
	switch {
	case !to.IsValid():
		return 0
	case to.Addr().Is4():
		a := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		a.Family, a.Addr, a.Port = unix.AF_INET, to.Addr().As4(), binary.NativeEndian.Uint16(port[:])
		return unix.SizeofSockaddrInet4
	}
	a := (*unix.RawSockaddrInet6)(unsafe.Pointer(name))
	a.Family, a.Addr, a.Port = unix.AF_INET6, to.Addr().As16(), binary.NativeEndian.Uint16(port[:])
	return unix.SizeofSockaddrInet6
}
