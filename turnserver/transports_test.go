package turnserver

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/stun/v3"

	"github.com/sigctl/sigctl/pkg/certs"
)

// testCA issues the server's certificate for 127.0.0.1, and trusts it.
type testCA struct {
	certificate tls.Certificate
	pool        *x509.CertPool
}

func newTestCA(t testing.TB) *testCA {
	t.Helper()
	ca, err := certs.OpenCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	issued, err := ca.Server("127.0.0.1", "::1")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(issued.Chain, issued.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Root())
	return &testCA{certificate, pool}
}

// withTLS adds a certificate to what change does.
func withTLS(t testing.TB, change func(*Config)) func(*Config) {
	ca := newTestCA(t)
	return func(cfg *Config) {
		cfg.TLS = &tls.Config{Certificates: []tls.Certificate{ca.certificate}}
		change(cfg)
	}
}

// everywhere serves all transports at 127.0.0.1.
func everywhere(cfg *Config) {
	cfg.TLSListen, cfg.DTLSListen = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
}

// over returns a client that reaches ts over a transport.
func (ts *testServer) over(transport Transport, user string) *testClient {
	ts.t.Helper()
	at := ts.Addrs(transport)[0]
	c := ts.clientAt(user, at)
	c.transport = transport
	var err error
	switch transport {
	case UDP:
		return c
	case TCP:
		c.conn, err = net.Dial("tcp", at.String())
	case TLS:
		c.conn, err = tls.Dial("tcp", at.String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"stun.turn"}})
	case DTLS:
		c.conn, err = dtls.DialWithOptions("udp", net.UDPAddrFromAddrPort(at), dtls.WithInsecureSkipVerify(true))
	}
	if err != nil {
		ts.t.Fatalf("%s over %v: %v", user, transport, err)
	}
	ts.t.Cleanup(func() { c.conn.Close() })
	return c
}

// Every transport allocates and relays, in channels and indications, both ways.
func TestTransports(t *testing.T) {
	ts := newTestServer(t, withTLS(t, func(cfg *Config) { everywhere(cfg); cfg.Allow = allow(t, "127.0.0.2/32") }))
	p := newPeer(t, "127.0.0.2")
	for _, transport := range []Transport{UDP, TCP, TLS, DTLS} {
		t.Run(transport.String(), func(t *testing.T) {
			c := ts.over(transport, "alice")
			c.t = t
			c.allocate()
			c.wantOK(stun.MethodCreatePermission, c.permit(p.addr))
			for _, text := range []string{"x", "odd", "four", ""} { // padding
				c.send(p.addr, text)
				p.wantText(c.relayed, text)
				p.send(c.relayed, text)
				c.wantText(packet{from: p.addr, text: text})
			}
			c.wantOK(stun.MethodChannelBind, c.bindChannel(0x4001, p.addr))
			for _, text := range []string{"x", "odd", "four", ""} {
				c.sendChannel(0x4001, text)
				p.wantText(c.relayed, text)
				p.send(c.relayed, text)
				c.wantText(packet{channel: 0x4001, text: text})
			}
			c.wantOK(stun.MethodRefresh, c.request(stun.MethodRefresh, lifetime(0)))
		})
	}
	if got := ts.Stats().Allocations; got != 0 {
		t.Errorf("%d allocations are left", got)
	}
}

// A connection that ends takes its allocation with it.
func TestConnectionEndsAllocation(t *testing.T) {
	ts := newTestServer(t, withTLS(t, everywhere))
	for _, transport := range []Transport{TCP, TLS, DTLS} {
		c := ts.over(transport, "alice")
		c.allocate()
		a := ts.only()
		if a == nil {
			t.Fatalf("%v: there is no allocation for %v", transport, c.conn.LocalAddr())
		}
		c.conn.Close()
		select {
		case <-a.ended:
		case <-time.After(patience):
			t.Errorf("%v: the allocation outlives its connection", transport)
		}
	}
}

// A client over DTLS, which has no FIN, is told that the server ends.
func TestDTLSFarewell(t *testing.T) {
	ts := newTestServer(t, withTLS(t, everywhere))
	c := ts.over(DTLS, "alice")
	c.allocate()
	ts.Close()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := c.conn.Read(make([]byte, 2048)); err != io.EOF {
		t.Errorf("after the server's end: read %d bytes, %v, want io.EOF", n, err)
	}
}

// only returns the one allocation that there is, or nil.
func (ts *testServer) only() *allocation {
	ts.allocations.mu.RLock()
	defer ts.allocations.mu.RUnlock()
	for _, a := range ts.allocations.byRelay {
		return a
	}
	return nil
}

// Clients over IPv6 get what they ask for: an IPv4 address by default, an IPv6 one on request.
func TestIPv6(t *testing.T) {
	ts := newTestServer(t, func(cfg *Config) {
		cfg.Listen, cfg.Allow = []string{"127.0.0.1:0", "[::1]:0"}, allow(t, "127.0.0.2/32 ::1/128")
	})
	p := newPeer(t, "::1")
	family := stun.RawAttribute{Type: stun.AttrRequestedAddressFamily, Value: []byte{2, 0, 0, 0}}
	for _, at := range ts.Addrs(UDP) {
		c := ts.clientAt("alice", at)
		c.wantOK(stun.MethodAllocate, c.request(stun.MethodAllocate, requestedUDP, family))
		if c.relayed.Addr() != netip.IPv6Loopback() {
			t.Errorf("client of %v asked for IPv6: relayed at %v", at, c.relayed)
		}
		c.wantOK(stun.MethodCreatePermission, c.permit(p.addr))
		c.send(p.addr, "hello")
		p.wantText(c.relayed, "hello")
		p.send(c.relayed, "hello yourself")
		c.wantText(packet{from: p.addr, text: "hello yourself"})

		if code := errorCode(c.permit(netip.MustParseAddrPort("127.0.0.2:1"))); code != 443 {
			t.Errorf("permission for an IPv4 peer of an IPv6 relay: got %d, want 443", code)
		}
		plain := ts.clientAt("alice", at)
		plain.allocate()
		if !plain.relayed.Addr().Is4() {
			t.Errorf("client of %v asked for nothing: relayed at %v", at, plain.relayed)
		}
	}
	without := newTestServer(t, nil).client("alice")
	if code := errorCode(without.request(stun.MethodAllocate, requestedUDP, family)); code != 440 {
		t.Errorf("IPv6 of a server without: got %d, want 440", code)
	}
}
