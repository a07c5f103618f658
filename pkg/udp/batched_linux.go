package udp

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSegment is the longest packet that is sent in segments: what fits an Ethernet frame, per family. The kernel
// refuses segments above the path's MTU, and fragments single packets instead.
const (
	maxSegment4 = 1500 - 20 - 8
	maxSegment6 = 1500 - 40 - 8
)

// batched is the driver of Linux: recvmmsg and sendmmsg, with UDP_GRO and UDP_SEGMENT where the kernel has them.
type batched struct {
	socket *Socket
	raw    syscall.RawConn // keeps the descriptor from being closed while it is in use
	zone   zone            // owned by serve

	// sendmmsg is the system call, but for tests.
	sendmmsg func(fd uintptr, msgs []unix.Mmsghdr) (int, syscall.Errno)
}

func newDriver(s *Socket) (driver, error) {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	d := &batched{socket: s, raw: raw, sendmmsg: sendmmsg}
	if err := raw.Control(d.offload); err != nil {
		return nil, fmt.Errorf("set up segmentation: %w", err)
	}
	return d, nil
}

// offload turns on what the kernel has: one before 4.18 has no UDP_SEGMENT (and would take the control message of
// a segmented send without obeying it), one before 5.0 no UDP_GRO.
func (d *batched) offload(fd uintptr) {
	if _, err := unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT); err == nil {
		d.socket.segment.Store(maxSegment4)
		if d.socket.is6 {
			d.socket.segment.Store(maxSegment6)
		}
	}
	_ = setOption(fd, unix.SOL_UDP, unix.UDP_GRO, 1)
}
