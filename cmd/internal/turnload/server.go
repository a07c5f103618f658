package turnload

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync/atomic"

	"github.com/pion/stun/v3"
)

// server is where a Config's URL points.
type server struct {
	uri *stun.URI
	at  netip.AddrPort // once resolved
	tls *tls.Config

	dialed atomic.Uint32 // clients over UDP
}

// CheckServer tells whether text is a URL that Config.Server takes.
func CheckServer(text string) error {
	_, err := parseServer(text)
	return err
}

func parseServer(text string) (*server, error) {
	uri, err := stun.ParseURI(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("not a TURN URL: %w", err)
	case uri.Scheme != stun.SchemeTypeTURN && uri.Scheme != stun.SchemeTypeTURNS:
		return nil, errors.New("not a TURN URL")
	case uri.Scheme == stun.SchemeTypeTURNS && uri.Proto == stun.ProtoTypeUDP:
		return nil, errors.New("TURN over DTLS cannot be measured")
	}
	return &server{uri: uri}, nil
}

// resolve looks the host up, once for all clients.
func (s *server) resolve(ctx context.Context, trust *tls.Config) error {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.uri.Host)
	if err != nil {
		return fmt.Errorf("find the server: %w", err)
	}
	s.at = netip.AddrPortFrom(addrs[0].Unmap(), uint16(s.uri.Port))
	if trust == nil {
		trust = &tls.Config{}
	}
	s.tls = trust.Clone()
	if s.tls.ServerName == "" {
		s.tls.ServerName = s.uri.Host
	}
	s.tls.NextProtos = []string{"stun.turn"} // RFC 7443
	return nil
}

// dial opens a client's way to the server. What comes is handed over, and valid during the call.
func (s *server) dial(ctx context.Context, w *wire, handle func(frame []byte)) (link, error) {
	if s.uri.Proto == stun.ProtoTypeUDP {
		socket, err := w.open(s.from(), s.at, handle)
		return datagrams{socket}, err
	}
	var dialer interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	} = &net.Dialer{}
	if s.uri.Scheme == stun.SchemeTypeTURNS {
		dialer = &tls.Dialer{Config: s.tls}
	}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(s.at.Addr().String(), strconv.Itoa(int(s.at.Port()))))
	if err != nil {
		return nil, err
	}
	return newStream(conn, handle), nil
}

// from is where the next client sends from. On this machine each has an address of its own, as clients elsewhere mostly
// have: a server that bounds what it answers strangers would keep those at one address waiting.
func (s *server) from() netip.AddrPort {
	switch ip := s.at.Addr(); {
	case ip.Is6():
		return netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	case ip.IsLoopback() && runtime.GOOS == "linux":
		n := s.dialed.Add(1)
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 2, byte(n / 250), byte(1 + n%250)}), 0)
	}
	return netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
}
