package peer

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/pion/transport/v5"
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

// linkNet is a callNet for one link, whose guard sees every packet.
type linkNet struct {
	*callNet
	relays *relayConns
	guard  *guard
}

// ListenUDP opens the sockets of host and server-reflexive candidates.
func (n *linkNet) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := n.callNet.ListenUDP(network, addr)
	if err != nil {
		return nil, err
	}
	return newGuardedConn(conn, n.guard), nil
}

// ListenPacket opens the sockets that reach a relay.
func (n *linkNet) ListenPacket(network, address string) (net.PacketConn, error) {
	conn, err := n.Net.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	n.granted.enlarge(conn)
	relay := &relayPacketConn{PacketConn: conn, relayed: relayed{guard: n.guard}}
	n.relays.add(relay)
	return relay, nil
}

type relayPacketConn struct {
	net.PacketConn
	relayed relayed
	got     atomic.Bool
}

func (c *relayPacketConn) heard() bool { return c.got.Load() }

// ReadFrom reads a datagram from the relay.
func (c *relayPacketConn) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, addr, err := c.PacketConn.ReadFrom(p)
		if err == nil {
			c.got.Store(true)
		}
		if err != nil || c.relayed.incoming(p[:n]) {
			return n, addr, err
		}
	}
}

// WriteTo sends a datagram to the relay.
func (c *relayPacketConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	if !c.relayed.outgoing(p) {
		return len(p), nil
	}
	return c.PacketConn.WriteTo(p, addr)
}
