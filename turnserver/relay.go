package turnserver

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxDatagram is the longest payload from a peer that the library passes on uncut.
	maxDatagram = 1600

	// inboxSize bounds what waits for the library, in packets. What the kernel delivers then waits in the socket's
	// buffer; what another relay delivers is dropped.
	inboxSize = 512
)

// relay is one allocation's socket, and what peers see of a client. The library sends to peers with WriteTo and takes
// what they sent from ReadFrom; Close, by the library or by us, ends the allocation.
//
// A data plane of our own takes over the inbox and the flows; the library then only waits in ReadFrom.
type relay struct {
	// set at construction
	server *Server
	socket *net.UDPConn
	local  netip.AddrPort
	public netip.AddrPort // what clients are told; the same as local without a NAT
	tuple  fiveTuple
	owner  identity
	opened time.Time

	permissions permissions

	inbox  chan datagram
	once   sync.Once
	closed chan struct{}
}

// datagram is a packet from a peer.
type datagram struct {
	payload []byte
	from    netip.AddrPort
}

// openRelay opens a relay for owner and starts its reader. The caller closes it.
func (s *Server) openRelay(owner identity, tuple fiveTuple, at external, wanted uint16) (*relay, error) {
	taken := func(a netip.AddrPort) bool { return s.allocations.at(a) != nil }
	socket, err := bindRelay(at.local, s.MinPort, s.MaxPort, wanted, taken)
	if err != nil {
		return nil, err
	}
	if err := socket.SetReadDeadline(time.Now().Add(s.MaxLifetime)); err != nil {
		socket.Close()
		return nil, err
	}
	local := localAddr(socket)
	r := &relay{
		server: s, socket: socket, tuple: tuple, owner: owner, opened: s.auth.now(),
		local: local, public: netip.AddrPortFrom(at.public, local.Port()),
		inbox: make(chan datagram, inboxSize), closed: make(chan struct{}),
	}
	if err := s.allocations.add(r); err != nil {
		socket.Close()
		return nil, err
	}
	s.readers.Go(r.readSocket)
	return r, nil
}

// readSocket moves packets of permitted peers from the kernel to the inbox until the relay is closed.
func (r *relay) readSocket() {
	defer r.Close() // after the longest lifetime, or a socket error
	buffer := make([]byte, maxDatagram+1)
	for {
		n, from, err := readPacket(r.socket, buffer)
		switch {
		case err != nil:
			return
		case !r.server.policy.permits(from):
			r.server.counters.packetsDenied.Add(1)
			continue
		case n > maxDatagram:
			r.server.counters.packetsDropped.Add(1)
			continue
		}
		select {
		case r.inbox <- datagram{append([]byte(nil), buffer[:n]...), from}:
		case <-r.closed:
			return
		}
	}
}

// deliver puts a packet of another relay of this server into the inbox, or drops it when that is full.
func (r *relay) deliver(p []byte, from netip.AddrPort) {
	if len(p) > maxDatagram {
		r.server.counters.packetsDropped.Add(1)
		return
	}
	select {
	case r.inbox <- datagram{append([]byte(nil), p...), from}:
	default:
		r.server.counters.packetsDropped.Add(1)
	}
}

// ReadFrom returns the next packet of a peer. Whether that peer has the client's permission is for the library.
func (r *relay) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case d := <-r.inbox:
		r.server.counters.fromPeers.add(len(d.payload))
		return copy(p, d.payload), net.UDPAddrFromAddrPort(d.from), nil
	case <-r.closed:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo sends a packet to a peer. What may not be sent is dropped and counted, without an error.
func (r *relay) WriteTo(p []byte, addr net.Addr) (int, error) {
	udp, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	to := unmap(udp.AddrPort())
	if target, as := r.server.localRelay(r, to); target != nil {
		target.deliver(p, as)
	} else if !to.Addr().Is4() || !r.server.policy.permits(to) {
		r.server.counters.packetsDenied.Add(1)
		return len(p), nil
	} else if _, err := r.socket.WriteToUDPAddrPort(p, to); err != nil {
		return 0, err
	}
	r.server.counters.toPeers.add(len(p))
	return len(p), nil
}

// localRelay returns the live relay of this server at an address, or nil, and as whom it sees the sender: in the form
// in which the sender named it, so that a permission for either form works.
func (s *Server) localRelay(sender *relay, to netip.AddrPort) (target *relay, as netip.AddrPort) {
	if s.external.public == to.Addr() && s.external.public != s.external.local {
		return s.allocations.at(netip.AddrPortFrom(s.external.local, to.Port())), sender.public
	}
	return s.allocations.at(to), sender.local
}

// Close ends the allocation. It never fails: the library would leave other allocations open.
func (r *relay) Close() error {
	r.once.Do(func() {
		close(r.closed)
		r.server.allocations.remove(r) // before the port can be another's
		r.socket.Close()
		r.server.Logger.Debug("relay closed", "user", r.owner.user, "client", r.tuple.client, "relay", r.public,
			"lived", r.server.auth.now().Sub(r.opened))
	})
	return nil
}

func (r *relay) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(r.local) }
func (r *relay) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (r *relay) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (r *relay) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
