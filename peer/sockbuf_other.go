//go:build !linux

package peer

import "net"

// socketBuffers is not known here.
func socketBuffers(*net.UDPConn) (read, write int) { return 0, 0 }
