package turnserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/sigctl/sigctl/pkg/udp"
	"github.com/sigctl/sigctl/turnserver/internal/dtls"
	"github.com/sigctl/sigctl/turnserver/internal/stream"
)

// listener serves clients over one transport at one port: of one address, or, where that is a wildcard, of
// every address of its family that this machine has.
type listener struct {
	// set at construction
	server    *Server
	transport Transport
	address   netip.AddrPort   // a wildcard stays one; the port is set once it is known
	streams   *stream.Acceptor // all but UDP
	dtls      *dtls.Listener   // DTLS

	counters counters

	// guarded by server.mu
	places []*place
	faults map[netip.Addr]string // why there is no place at an address of a wildcard, as it was logged
}

// place is an address at which a listener has sockets. Connections know which address was asked, so that
// the one place of a TCP or TLS wildcard is the wildcard itself.
type place struct {
	ip        netip.Addr
	sockets   []*udp.Socket // UDP and DTLS: shards of the address
	accepting net.Listener  // TCP and TLS
}

func (s *Server) newListener(transport Transport, address netip.AddrPort) (*listener, error) {
	l := &listener{server: s, transport: transport, address: address, faults: make(map[netip.Addr]string)}
	if transport != UDP {
		l.streams = &stream.Acceptor{Pending: s.pending, Proxies: s.Proxies, Log: s.Logger, Handle: l.serveConn}
	}
	var err error
	switch transport {
	case TLS:
		l.streams.TLS = s.tls()
	case DTLS:
		l.dtls, err = l.newDTLS()
	}
	return l, err
}

// newDTLS returns the listener's DTLS side. Its sessions become connections of streams, whose bounds
// close those without an allocation before there are MaxSessions.
func (l *listener) newDTLS() (*dtls.Listener, error) {
	s := l.server
	return dtls.New(&dtls.Config{
		Certificate: s.certificate, Log: s.Logger, Handle: l.streams.ServeMessages,
		MaxSessions: s.MaxPending + s.MaxAllocations, Known: s.Known,
	})
}

// open opens the listener's place at ip. Port 0 becomes the one that the kernel gives.
func (l *listener) open(ip netip.Addr) (*place, error) {
	p, at := &place{ip: ip}, netip.AddrPortFrom(ip, l.address.Port())
	var err error
	switch l.transport {
	case UDP, DTLS:
		if p.sockets, err = bindShards(at, l.server.Shards); err == nil {
			at = p.sockets[0].LocalAddr()
		}
	case TCP, TLS:
		network := [...]string{"tcp4", "tcp6"}[familyOf(ip)]
		if p.accepting, err = net.Listen(network, at.String()); err == nil {
			at = unmap(p.accepting.Addr().(*net.TCPAddr).AddrPort())
		}
	}
	if err != nil {
		return nil, err
	}
	if l.address.Port() == 0 {
		l.address = netip.AddrPortFrom(l.address.Addr(), at.Port())
	}
	l.places = append(l.places, p)
	return p, nil
}

// bindShards opens n sockets at one address that nobody else has.
func bindShards(at netip.AddrPort, n int) ([]*udp.Socket, error) {
	first, err := udp.Listen(at, &udp.Options{Buffer: socketBuffer})
	if err != nil || n == 1 {
		return []*udp.Socket{first}, err
	}
	// With SO_REUSEPORT set, the port of another server of ours would be no error.
	at = first.LocalAddr()
	first.Close()
	var shards []*udp.Socket
	for range n {
		socket, err := udp.Listen(at, &udp.Options{Buffer: socketBuffer, ReusePort: true})
		if err != nil {
			for _, opened := range shards {
				opened.Close()
			}
			return nil, err
		}
		shards = append(shards, socket)
	}
	return shards, nil
}

// tls is the configuration for streams. What clients offer of ALPN is RFC 7443's; most offer nothing.
func (s *Server) tls() *tls.Config {
	config := s.TLS.Clone()
	config.NextProtos = []string{"stun.turn", "stun.nat-discovery"}
	config.DynamicRecordSizingDisabled = true // a message is a record
	return config
}

// certificate is the one for DTLS now.
func (s *Server) certificate() (*tls.Certificate, error) {
	if s.TLS.GetCertificate != nil {
		return s.TLS.GetCertificate(&tls.ClientHelloInfo{})
	}
	return &s.TLS.Certificates[0], nil
}

// start begins to serve at a place.
func (l *listener) start(p *place) {
	run := func(serve func() error) {
		l.server.running.Go(func() {
			if err := serve(); err != nil && !errors.Is(err, net.ErrClosed) {
				l.server.fail(err)
			}
		})
	}
	for _, socket := range p.sockets {
		if l.transport == UDP {
			run(func() error { return l.serveUDP(socket) })
		} else {
			run(func() error { return l.dtls.Serve(socket) })
		}
	}
	if p.accepting != nil {
		run(func() error { return l.streams.Serve(p.accepting) })
	}
}

// serveConn serves one connection.
func (l *listener) serveConn(conn *stream.Conn) {
	tuple := fiveTuple{client: conn.Client(), server: conn.Local(), transport: l.transport, conn: l.server.conns.Add(1)}
	c := &client{fiveTuple: tuple, listener: l, conn: conn}
	defer func() {
		if a := l.server.allocations.of(c.fiveTuple); a != nil {
			a.end()
		}
	}()
	b := newBatch(l)
	defer b.end()
	for c.refused <= maxRefused {
		message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		b.begin()
		b.fromConn(c, message)
		if !conn.Buffered() {
			b.end()
		}
	}
}

// ServeConn serves a client whose TLS connection another listener has accepted, on a port that both share, until it ends,
// and closes it.
func (s *Server) ServeConn(nc net.Conn) { s.shared.streams.ServeConn(nc) }

// close closes the sockets and waits for the connections.
func (l *listener) close() {
	if l.dtls != nil {
		l.dtls.Close() // clients are told, as long as there is a socket
	}
	for _, p := range l.places {
		p.close()
	}
	if l.streams != nil {
		l.streams.Close()
	}
}

func (p *place) close() {
	for _, socket := range p.sockets {
		socket.Close()
	}
	if p.accepting != nil {
		p.accepting.Close()
	}
}

func closeAll(listeners []*listener) {
	for _, l := range listeners {
		l.close()
	}
}

// Addrs returns where clients are served now over a transport, in the order of the configuration. Of a
// wildcard for UDP and DTLS that is every address that this machine has.
func (s *Server) Addrs(transport Transport) []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	var addrs []netip.AddrPort
	for _, l := range s.listeners {
		if l.transport != transport {
			continue
		}
		for _, p := range l.places {
			if _, gone := s.gone[p.ip]; !gone {
				addrs = append(addrs, netip.AddrPortFrom(p.ip, l.address.Port()))
			}
		}
	}
	return addrs
}

// URLs returns what clients need to know of the relay at host, a name or an address, for the list of ICE servers: a stun:
// URL and turn: and turns: URLs (RFC 7064, RFC 7065) of all that is on, UDP first. DTLS is not among them: browsers do not
// speak it, and take such a URL for TLS.
func (s *Server) URLs(host string) []string {
	var urls []string
	add := func(transport Transport, format string) {
		for _, l := range s.listeners {
			url := fmt.Sprintf(format, net.JoinHostPort(host, strconv.Itoa(int(l.address.Port()))))
			if l.transport == transport && !slices.Contains(urls, url) {
				urls = append(urls, url)
			}
		}
	}
	add(UDP, "stun:%s")
	add(UDP, "turn:%s?transport=udp")
	add(TCP, "turn:%s?transport=tcp")
	add(TLS, "turns:%s?transport=tcp")
	return urls
}
