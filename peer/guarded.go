package peer

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"

	"github.com/pion/stun/v4"
	"github.com/pion/transport/v5"
)

// guardedConn is a UDP socket whose packets a guard sees. It offers pion the calls that
// allocate nothing, as the system's sockets do.
type guardedConn struct {
	transport.UDPConn
	udp   *net.UDPConn // the same, or nil where the network is simulated
	guard *guard
}

func newGuardedConn(conn transport.UDPConn, g *guard) *guardedConn {
	udp, _ := conn.(*net.UDPConn)
	return &guardedConn{conn, udp, g}
}

// WriteToAddrPort sends a datagram, or drops it where the guard refuses.
func (c *guardedConn) WriteToAddrPort(p []byte, to netip.AddrPort) (int, error) {
	switch {
	case !c.guard.outgoing(c, to, p):
		return len(p), nil
	case c.udp != nil:
		return c.udp.WriteToUDPAddrPort(p, to)
	}
	return c.UDPConn.WriteTo(p, net.UDPAddrFromAddrPort(to))
}

// WriteTo is WriteToAddrPort.
func (c *guardedConn) WriteTo(p []byte, to net.Addr) (int, error) {
	if !c.guard.outgoing(c, addrPortOf(to), p) {
		return len(p), nil
	}
	return c.UDPConn.WriteTo(p, to)
}

// ReadFromAddrPort returns the next datagram that the guard does not refuse.
func (c *guardedConn) ReadFromAddrPort(p []byte) (n int, from netip.AddrPort, err error) {
	for {
		if c.udp != nil {
			n, from, err = c.udp.ReadFromUDPAddrPort(p)
		} else {
			var addr net.Addr
			n, addr, err = c.UDPConn.ReadFrom(p)
			from = addrPortOf(addr)
		}
		if err != nil || c.guard.incoming(c, from, p[:n]) {
			return n, from, err
		}
	}
}

// ReadFrom is ReadFromAddrPort.
func (c *guardedConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(p)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

func addrPortOf(addr net.Addr) netip.AddrPort {
	if udp, ok := addr.(*net.UDPAddr); ok {
		return udp.AddrPort()
	}
	return netip.AddrPort{}
}

// relayed shows a guard what a connection to a relay carries to and from others: in
// ChannelData, and in Send and Data indications (RFC 8656, sections 11 and 12).
type relayed struct {
	guard *guard

	mu       sync.Mutex
	channels map[uint16]netip.AddrPort
}

func (r *relayed) outgoing(frame []byte) bool {
	peer, data := r.open(frame, true)
	return data == nil || r.guard.outgoing(r, peer, data)
}

func (r *relayed) incoming(frame []byte) bool {
	peer, data := r.open(frame, false)
	return data == nil || r.guard.incoming(r, peer, data)
}

// open returns the packet that a frame carries, if it is one that a guard wants to see,
// and the address that it goes to or comes from: none for a channel that was never bound.
func (r *relayed) open(frame []byte, ours bool) (netip.AddrPort, []byte) {
	if len(frame) >= 4 && frame[0]&0xC0 == 0x40 {
		size := int(binary.BigEndian.Uint16(frame[2:]))
		if data := frame[4:]; size <= len(data) && isCheck(data[:size]) {
			return r.channel(binary.BigEndian.Uint16(frame)), data[:size]
		}
		return netip.AddrPort{}, nil
	}
	m := &stun.Message{Raw: frame}
	if !stun.IsMessage(frame) || m.Decode() != nil {
		return netip.AddrPort{}, nil
	}
	var peer stun.XORMappedAddress
	if peer.GetFromAs(m, stun.AttrXORPeerAddress) != nil {
		return netip.AddrPort{}, nil
	}
	ip, _ := netip.AddrFromSlice(peer.IP)
	addr := plainAddr(netip.AddrPortFrom(ip, uint16(peer.Port)))
	if ours && m.Type == stun.NewType(stun.MethodChannelBind, stun.ClassRequest) {
		r.bind(m, addr)
	}
	if data, err := m.Get(stun.AttrData); err == nil && isCheck(data) {
		return addr, data
	}
	return netip.AddrPort{}, nil
}

func (r *relayed) channel(number uint16) netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.channels[number]
}

// bind remembers which channel leads to an address.
func (r *relayed) bind(m *stun.Message, addr netip.AddrPort) {
	number, err := m.Get(stun.AttrChannelNumber)
	if err != nil || len(number) < 2 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.channels == nil {
		r.channels = map[uint16]netip.AddrPort{}
	}
	r.channels[binary.BigEndian.Uint16(number)] = addr
}
