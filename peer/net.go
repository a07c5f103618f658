package peer

import (
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

// socketBuffer is asked for on every UDP socket, in bytes and each way. The
// system's default overflows within a few milliseconds of a fast data channel, and
// SCTP then stalls.
const socketBuffer = 4 << 20

// bufferNet is a network whose UDP sockets have large buffers.
type bufferNet struct {
	transport.Net
	granted *grantedBuffers
}

// newNet returns the network for one connection: the interfaces are those of now.
func newNet(base transport.Net, granted *grantedBuffers) (*bufferNet, error) {
	if base == nil {
		std, err := stdnet.NewNet()
		if err != nil {
			return nil, fmt.Errorf("list network interfaces: %w", err)
		}
		base = std
	}
	return &bufferNet{base, granted}, nil
}

// ListenPacket opens the sockets that reach a relay.
func (n *bufferNet) ListenPacket(network, address string) (net.PacketConn, error) {
	conn, err := n.Net.ListenPacket(network, address)
	if err == nil {
		n.granted.enlarge(conn)
	}
	return conn, err
}

// ListenUDP opens the sockets of host and server-reflexive candidates.
func (n *bufferNet) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := n.Net.ListenUDP(network, addr)
	if err == nil {
		n.granted.enlarge(conn)
	}
	return conn, err
}

// grantedBuffers remembers what the kernel gave the first socket; it limits all
// alike, by net.core.rmem_max and wmem_max on Linux.
type grantedBuffers struct {
	log *slog.Logger

	once        sync.Once
	mu          sync.Mutex
	read, write int // bytes; 0 is not known
}

func (g *grantedBuffers) enlarge(conn any) {
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return
	}
	// A refusal shows in what is granted.
	udp.SetReadBuffer(socketBuffer)
	udp.SetWriteBuffer(socketBuffer)
	g.once.Do(func() {
		read, write := socketBuffers(udp)
		g.mu.Lock()
		g.read, g.write = read, write
		g.mu.Unlock()
		g.log.Info("UDP socket buffers", "asked", socketBuffer, "read", read, "write", write)
	})
}

func (g *grantedBuffers) get() (read, write int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.read, g.write
}
