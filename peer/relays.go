package peer

import (
	"net"
	"sync"
	"sync/atomic"
)

// relayConns are the sockets that a link opened to relays. Pion asks a relay that
// is not there for 8 s and cannot be told to stop, so closing a link closes the
// sockets on which nothing has ever come. The others stay until pion has given
// its allocations back.
type relayConns struct {
	mu    sync.Mutex
	cut   bool
	conns []relayConn
}

type relayConn interface {
	heard() bool
	Close() error
}

func (r *relayConns) add(c relayConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		c.Close()
		return
	}
	r.conns = append(r.conns, c)
}

func (r *relayConns) closeSilent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = true
	for _, c := range r.conns {
		if !c.heard() {
			c.Close()
		}
	}
}

// linkNet is a callNet that knows its sockets to relays.
type linkNet struct {
	*callNet
	relays *relayConns
}

// ListenPacket opens the sockets that reach a relay.
func (n *linkNet) ListenPacket(network, address string) (net.PacketConn, error) {
	conn, err := n.Net.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	n.granted.enlarge(conn)
	relay := &relayPacketConn{PacketConn: conn}
	n.relays.add(relay)
	return relay, nil
}

type relayPacketConn struct {
	net.PacketConn
	got atomic.Bool
}

func (c *relayPacketConn) heard() bool { return c.got.Load() }

// ReadFrom reads a datagram from the relay.
func (c *relayPacketConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, addr, err := c.PacketConn.ReadFrom(p)
	if err == nil {
		c.got.Store(true)
	}
	return n, addr, err
}
