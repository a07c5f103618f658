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

// listener serves clients at one address over one transport.
type listener struct {
	// set at construction
	server    *Server
	transport Transport
	address   netip.AddrPort
	sockets   []*udp.Socket    // UDP and DTLS: shards of the address
	accepting net.Listener     // TCP and TLS
	streams   *stream.Acceptor // all but UDP
	dtls      *dtls.Listener   // DTLS

	counters counters
}

// maxPortTries is how often a free port is looked for that all addresses of a host can have.
const maxPortTries = 16

// bind opens all listeners or none, and says what is wrong with each address, naming it once.
func (s *Server) bind(nets []netip.Prefix) ([]*listener, error) {
	var all []*listener
	var faults []error
	add := func(addresses []string, transports ...Transport) {
		for _, address := range addresses {
			opened, err := s.bindAddress(address, nets, transports)
			if err != nil {
				faults = append(faults, err)
			}
			all = append(all, opened...)
		}
	}
	add(s.Listen, UDP, TCP)
	add(s.TLSListen, TLS)
	add(s.DTLSListen, DTLS)
	if len(faults) != 0 {
		closeAll(all)
		return nil, errors.Join(faults...)
	}
	s.shared = &listener{server: s, transport: TLS}
	s.shared.streams = &stream.Acceptor{Log: s.Logger, Handle: s.shared.serveConn}
	return all, nil
}

// bindAddress opens the listeners of one "host:port".
func (s *Server) bindAddress(address string, nets []netip.Prefix, transports []Transport) ([]*listener, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		var malformed *net.AddrError
		if errors.As(err, &malformed) {
			err = errors.New(malformed.Err) // without the address
		}
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	port, err := net.LookupPort("udp", service)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	ips, err := hostIPs(host)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	for range maxPortTries {
		var opened []*listener
		if opened, err = s.bindEach(ips, uint16(port), nets, transports); err == nil || port != 0 {
			return opened, err
		}
	}
	return nil, err
}

// hostIPs returns the addresses of a host: the unspecified ones for an empty host.
func hostIPs(host string) ([]netip.Addr, error) {
	if host == "" {
		return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}, nil
	}
	at, err := net.ResolveUDPAddr("udp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	return []netip.Addr{unmap(at.AddrPort()).Addr()}, nil
}

// bindEach opens one port at all ips for all transports, or nothing. Port 0 is the one that the kernel gives to the
// first. Of the addresses that a wildcard stands for, those that cannot be used now are left out, as long as one is left.
func (s *Server) bindEach(ips []netip.Addr, port uint16, nets []netip.Prefix, transports []Transport) (opened []*listener, err error) {
	for _, transport := range transports {
		before, none := len(opened), fmt.Errorf("listen on %v: this machine has no address of that kind", ips[0])
		for _, ip := range ips {
			for _, at := range placesOf(ip, nets, transport) {
				l, err := s.bindOne(transport, netip.AddrPortFrom(at, port))
				if err != nil && at != ip && isUnavailable(err) {
					s.Logger.Warn("an address of this machine cannot be used now: clients are not served there",
						"addr", at, "transport", transport, "err", err, "hint", hintUnavailable)
					none = err
					continue
				}
				if err != nil {
					closeAll(opened)
					return nil, err
				}
				opened = append(opened, l)
				port = l.address.Port()
			}
		}
		if len(opened) == before {
			closeAll(opened)
			return nil, none
		}
	}
	return opened, nil
}

// placesOf returns where the sockets of a transport are that serve ip: for a wildcard one at each address of its family.
func placesOf(ip netip.Addr, nets []netip.Prefix, transport Transport) []netip.Addr {
	if !ip.IsUnspecified() {
		return []netip.Addr{ip}
	}
	places := addressesOf(nets, familyOf(ip))
	if (transport == TCP || transport == TLS) && len(places) > 0 {
		return []netip.Addr{ip} // a connection knows which address was asked
	}
	return places
}

func (s *Server) bindOne(transport Transport, at netip.AddrPort) (*listener, error) {
	l := &listener{server: s, transport: transport, address: at}
	var err error
	switch transport {
	case UDP, DTLS:
		if l.sockets, err = bindShards(at, s.Shards); err == nil {
			l.address = l.sockets[0].LocalAddr()
		}
	case TCP, TLS:
		network := [...]string{"tcp4", "tcp6"}[familyOf(at.Addr())]
		if l.accepting, err = net.Listen(network, at.String()); err == nil {
			l.address = unmap(l.accepting.Addr().(*net.TCPAddr).AddrPort())
		}
	}
	if err != nil {
		return nil, err
	}
	if transport != UDP {
		l.streams = &stream.Acceptor{Proxies: s.Proxies, Log: s.Logger, Handle: l.serveConn}
	}
	if transport == TLS {
		l.streams.TLS = s.tls()
	}
	if transport == DTLS {
		l.dtls, err = dtls.New(&dtls.Config{Certificate: s.certificate, Log: s.Logger, Handle: l.streams.ServeMessages})
		if err != nil {
			closeAll([]*listener{l})
			return nil, err
		}
	}
	return l, nil
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

// checkExternals says whether relays can be opened there.
func (s *Server) checkExternals() error {
	var faults []error
	for _, at := range s.external {
		if !at.local.IsValid() {
			continue
		}
		socket, err := udp.Listen(netip.AddrPortFrom(at.local, 0), nil)
		if err != nil {
			faults = append(faults, fmt.Errorf("external IP: %w (it must be an address of this machine; behind a NAT write PUBLIC/LOCAL)", err))
			continue
		}
		socket.Close()
	}
	return errors.Join(faults...)
}

// start begins to serve.
func (l *listener) start() {
	run := func(serve func() error) {
		l.server.running.Go(func() {
			if err := serve(); err != nil && !errors.Is(err, net.ErrClosed) {
				l.server.fail(err)
			}
		})
	}
	for _, socket := range l.sockets {
		if l.transport == UDP {
			run(func() error { return l.serveUDP(socket) })
		} else {
			run(func() error { return l.dtls.Serve(socket) })
		}
	}
	if l.accepting != nil {
		run(func() error { return l.streams.Serve(l.accepting) })
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
	for _, socket := range l.sockets {
		socket.Close()
	}
	if l.accepting != nil {
		l.accepting.Close()
	}
	if l.streams != nil {
		l.streams.Close()
	}
}

func closeAll(listeners []*listener) {
	for _, l := range listeners {
		l.close()
	}
}

// Addrs returns where clients are served over a transport, in the order of the configuration.
func (s *Server) Addrs(transport Transport) []netip.AddrPort {
	var addrs []netip.AddrPort
	for _, l := range s.listeners {
		if l.transport == transport {
			addrs = append(addrs, l.address)
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
		for _, at := range s.Addrs(transport) {
			if url := fmt.Sprintf(format, net.JoinHostPort(host, strconv.Itoa(int(at.Port())))); !slices.Contains(urls, url) {
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
