package turnserver

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/sigctl/sigctl/pkg/listen"
)

// wantAt is where a client that a proxy of this machine has brought is relayed: at no loopback address, if the client is
// of another machine and this machine has any other address.
func (ts *testServer) wantAt(client netip.Addr) netip.Addr {
	ips := ts.policy.Load().host.served
	if i := slices.IndexFunc(ips, func(ip netip.Addr) bool { return ip.Is4() && !ip.IsLoopback() }); i >= 0 && !client.IsLoopback() {
		return ips[i]
	}
	return netip.MustParseAddr("127.0.0.1")
}

// Clients that come through a proxy of this machine, which dials 127.0.0.1, are relayed where their peers can reach them.
func TestRelayBehindLocalProxy(t *testing.T) {
	proxies, err := listen.NewProxies(&listen.ProxyOptions{Trusted: prefixes("127.0.0.1/32"), PROXY: true})
	if err != nil {
		t.Fatal(err)
	}
	ts := newTestServer(t, func(cfg *Config) { cfg.Listen, cfg.Proxies = []string{"0.0.0.0:0"}, proxies })
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), ts.Addrs(TCP)[0].Port())
	for client, header := range map[string]string{
		"198.51.100.7": "PROXY TCP4 198.51.100.7 203.0.113.1 4000 443",
		"2600::7":      "PROXY TCP6 2600::7 2600::1 4000 443",
		"127.0.0.1":    "PROXY TCP4 127.0.0.1 127.0.0.1 4000 443",
		"127.0.0.2":    "PROXY UNKNOWN", // the proxy's own
	} {
		c := ts.clientAt("alice", at)
		c.transport = TCP
		if c.conn, err = net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(at)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.conn.Close() })
		fmt.Fprint(c.conn, header+"\r\n")
		c.allocate()
		if want := ts.wantAt(netip.MustParseAddr(client)); c.relayed.Addr() != want {
			t.Errorf("%s: relayed at %v, want %v", header, c.relayed, want)
		}
	}
}

// So are those whose connection the signaling server has accepted, on a port that it shares with the relay.
func TestRelayOnSharedPortBehindLocalProxy(t *testing.T) {
	ts := newTestServer(t, func(cfg *Config) { cfg.Listen = []string{"0.0.0.0:0"} })
	for _, client := range []string{"198.51.100.7:4000", "[2600::7]:4000", "127.0.0.1:4000"} {
		c := ts.client("alice")
		here, there := net.Pipe()
		c.transport, c.conn = TCP, here
		t.Cleanup(func() { here.Close() })
		go ts.ServeConn(&proxiedPipe{there, netip.MustParseAddrPort(client)})
		c.allocate()
		if want := ts.wantAt(netip.MustParseAddrPort(client).Addr()); c.relayed.Addr() != want {
			t.Errorf("client %s: relayed at %v, want %v", client, c.relayed, want)
		}
	}
}

// proxiedPipe seems to come from a client to 127.0.0.1.
type proxiedPipe struct {
	net.Conn
	client netip.AddrPort
}

func (p *proxiedPipe) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(p.client) }
func (p *proxiedPipe) LocalAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9090}
}
