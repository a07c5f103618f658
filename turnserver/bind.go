package turnserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/sigctl/sigctl/pkg/udp"
	"github.com/sigctl/sigctl/turnserver/internal/stream"
)

// maxPortTries bounds the search for a free port that all addresses of a host can have.
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
	s.shared.streams = &stream.Acceptor{Pending: s.pending, Log: s.Logger, Handle: s.shared.serveConn}
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

// bindEach opens one port at all ips for all transports, or nothing. Port 0 becomes the port that
// the kernel gives to the first place. Each transport needs a place: a wildcard of the other family
// may have none yet.
func (s *Server) bindEach(ips []netip.Addr, port uint16, nets []netip.Prefix, transports []Transport) (opened []*listener, err error) {
	defer func() {
		if err != nil {
			closeAll(opened)
			opened = nil
		}
	}()
	for _, transport := range transports {
		places, none := 0, fmt.Errorf("listen on %v: this machine has no address of that kind", ips[0])
		for _, ip := range ips {
			l, err := s.newListener(transport, netip.AddrPortFrom(ip, port))
			if err != nil {
				return opened, err
			}
			opened = append(opened, l)
			unavailable, err := l.openAll(nets)
			if err != nil {
				return opened, err
			}
			if unavailable != nil {
				none = unavailable
			}
			port, places = l.address.Port(), places+len(l.places)
		}
		if places == 0 {
			return opened, none
		}
	}
	for _, l := range opened { // one of a family without addresses may have come first
		l.address = netip.AddrPortFrom(l.address.Addr(), port)
	}
	return opened, nil
}

// openAll opens the listener's first places. Of a wildcard's addresses it leaves out those that
// cannot be used now, and returns why one cannot.
func (l *listener) openAll(nets []netip.Prefix) (unavailable, err error) {
	for _, ip := range l.wanted(nets) {
		if _, err := l.open(ip); err != nil {
			if ip == l.address.Addr() || !isUnavailable(err) {
				return nil, err
			}
			l.note(ip, err)
			unavailable = err
		}
	}
	return unavailable, nil
}

// wanted returns where the listener is to have places.
func (l *listener) wanted(nets []netip.Prefix) []netip.Addr {
	ip := l.address.Addr()
	if !ip.IsUnspecified() {
		return []netip.Addr{ip}
	}
	all := addressesOf(nets, familyOf(ip))
	if (l.transport == TCP || l.transport == TLS) && len(all) > 0 {
		return []netip.Addr{ip}
	}
	return all
}

// note logs why a place could not be opened, unless it did so before.
func (l *listener) note(ip netip.Addr, err error) {
	if l.faults[ip] == err.Error() {
		return
	}
	l.faults[ip] = err.Error()
	l.server.Logger.Warn("an address of this machine cannot be used now: clients are not served there",
		"addr", ip, "transport", l.transport, "err", err, "hint", hintUnavailable)
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
