package turnserver

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// listener is one socket that clients send to. It is the net.PacketConn of one instance of the library, which calls
// ReadFrom, and from the same goroutine, before the next ReadFrom, the methods below that decide.
//
// A guard that checks requests before the library sees them belongs into ReadFrom.
type listener struct {
	// set at construction
	server  *Server
	socket  *net.UDPConn
	address netip.AddrPort
	relayAt external // where its relays are, and what clients are told

	ended chan struct{} // closed when ReadFrom has failed: the library's goroutine ends
	hand  request       // owned by the library's goroutine
}

// request is what the library works on.
type request struct {
	raw    []byte
	client netip.AddrPort
	signer identity // set by authenticate
}

func (l *listener) ReadFrom(p []byte) (int, net.Addr, error) {
	n, client, err := readPacket(l.socket, p)
	if err != nil {
		close(l.ended)
		if !errors.Is(err, net.ErrClosed) {
			l.server.fail(err)
		}
		return 0, nil, err
	}
	l.hand = request{raw: p[:n], client: client}
	return n, net.UDPAddrFromAddrPort(client), nil
}

func (l *listener) WriteTo(p []byte, to net.Addr) (int, error) { return l.socket.WriteTo(p, to) }
func (l *listener) LocalAddr() net.Addr                        { return net.UDPAddrFromAddrPort(l.address) }
func (l *listener) Close() error                               { return l.socket.Close() }
func (l *listener) SetDeadline(time.Time) error                { return errors.ErrUnsupported }
func (l *listener) SetReadDeadline(time.Time) error            { return errors.ErrUnsupported }
func (l *listener) SetWriteDeadline(time.Time) error           { return errors.ErrUnsupported }

// authenticate returns the key that the request in hand has to be signed with. What is about an allocation is
// signed with the key that opened it, even if the credential has expired since: RFC 8656 section 5 wants the
// same credentials all along, and a call may last longer than they do. A key holds user name and realm, so whoever
// gives others has signed with another key.
func (l *listener) authenticate(username string) ([]byte, bool) {
	r := l.server.allocations.of(fiveTuple{l.hand.client, l.address})
	if r != nil && !isAllocate(l.hand.raw) {
		return r.owner.key, true
	}
	id, ok := l.server.auth.identify(username, l.hand.raw)
	l.hand.signer = id
	return id.key, ok && !l.server.allocations.isKicked(id)
}

// authenticated is told whether the request in hand was signed with that key.
func (l *listener) authenticated(ok bool) {
	if !ok {
		l.server.counters.authFailures.Add(1)
		l.server.Logger.Debug("credentials refused", "client", l.hand.client)
	}
}

// mayAllocate reports whether the signer of the request in hand may have one more allocation.
func (l *listener) mayAllocate() bool {
	err := l.server.allocations.hasRoom(l.hand.signer.user)
	if err != nil {
		l.server.counters.quotaRefusals.Add(1)
		l.warnRefused(err)
	}
	return err == nil
}

// warnRefused logs why there is no allocation for the request in hand, once a second at most: a client can ask again
// and again.
func (l *listener) warnRefused(err error) {
	if now := l.server.auth.now().Unix(); l.server.warned.Swap(now) != now {
		l.server.Logger.Warn("allocation refused", "user", l.hand.signer.user, "client", l.hand.client, "err", err)
	}
}

// mayReach reports whether the client of the request in hand may have a permission for a peer.
func (l *listener) mayReach(ip net.IP) bool {
	addr, _ := netip.AddrFromSlice(ip)
	r := l.server.allocations.of(fiveTuple{l.hand.client, l.address})
	ok := r != nil && r.permissions.hasRoom(addr.Unmap()) && l.server.policy.mayHavePermission(addr)
	if !ok {
		l.server.counters.peersDenied.Add(1)
		l.server.Logger.Debug("peer denied", "client", l.hand.client, "peer", addr)
	}
	return ok
}

// allocate opens a relay for the request in hand, at a wanted port if that is not 0. It may be closed again without
// becoming an allocation: the library looks for an even port that way.
func (l *listener) allocate(wanted int) (*relay, error) {
	r, err := l.server.openRelay(l.hand.signer, fiveTuple{l.hand.client, l.address}, l.relayAt, uint16(wanted))
	if err != nil {
		l.warnRefused(err)
	}
	return r, err
}

// allocated is told that the relay for the request in hand has become an allocation.
func (l *listener) allocated(relay net.Addr) {
	l.server.counters.created.Add(1)
	l.server.Logger.Info("allocation", "user", l.hand.signer.user, "client", l.hand.client, "relay", relay)
	l.server.Allocated(l.hand.signer.user, l.hand.client, relay.(*net.UDPAddr).AddrPort())
}

// permitted is told that the allocation at a relayed address has got a permission for a peer, or lost it. The library
// does so on any goroutine, under locks of its own.
func (l *listener) permitted(relay net.Addr, ip net.IP, change func(*permissions, netip.Addr)) {
	port := relay.(*net.UDPAddr).AddrPort().Port()
	addr, _ := netip.AddrFromSlice(ip)
	if r := l.server.allocations.at(netip.AddrPortFrom(l.relayAt.local, port)); r != nil {
		change(&r.permissions, addr.Unmap())
	}
}
