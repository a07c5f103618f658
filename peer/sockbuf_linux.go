package peer

import (
	"net"

	"golang.org/x/sys/unix"
)

// socketBuffers returns the usable buffer sizes of a socket in bytes. The kernel
// reports twice that, to account for its own bookkeeping (socket(7), SO_RCVBUF).
func socketBuffers(conn *net.UDPConn) (read, write int) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, 0
	}
	raw.Control(func(fd uintptr) {
		read, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		write, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
	})
	return read / 2, write / 2
}
