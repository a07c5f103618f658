package turnserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

func debugLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// One start names all that is wrong.
func TestConfigFaults(t *testing.T) {
	_, err := Listen(&Config{
		MinPort: 5, MaxPort: 4, ExternalIPs: []string{"nat.example.com"}, Users: map[string]string{"": "x"}, UserQuota: -1,
		Allow: []netip.Prefix{{}},
	})
	for _, want := range []string{"listen: ", "realm ", "user \"\"", "relay ports: 5 is above 4", "external IP", "peer list", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("listen: got %v, want it to say %q", err, want)
		}
	}
	cfg := testConfig(t)
	cfg.Secrets, cfg.Users = nil, nil
	if _, err := Listen(cfg); err == nil || !strings.Contains(err.Error(), "no credentials") {
		t.Errorf("listen without credentials: got %v", err)
	}
}

func TestListenFaults(t *testing.T) {
	taken := newPeer(t, "127.0.0.1")
	free := newPeer(t, "127.0.0.1")
	free.Close()
	tests := []struct {
		name   string
		change func(*Config)
		at     string
		want   string
	}{
		{"taken port", func(cfg *Config) { cfg.Listen = []string{free.addr.String(), taken.addr.String()} }, taken.addr.String(), "address already in use"},
		{"no port", func(cfg *Config) { cfg.Listen = []string{"127.0.0.1"} }, "127.0.0.1", "missing port"},
		{"another machine's address", func(cfg *Config) { cfg.Listen = []string{"198.51.100.1:0"} }, "198.51.100.1", "cannot assign"},
		{"external IP of another machine", func(cfg *Config) { cfg.ExternalIPs = []string{"198.51.100.1"} }, "198.51.100.1", "PUBLIC/LOCAL"},
	}
	for _, tt := range tests {
		cfg := testConfig(t)
		tt.change(cfg)
		if _, err := Listen(cfg); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), tt.at) != 1 {
			t.Errorf("%s: got %v, want %q, and %s named once", tt.name, err, tt.want, tt.at)
		}
	}
	again, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(free.addr))
	if err != nil {
		t.Fatalf("a listener is left open: %v", err)
	}
	again.Close()
}

// A wildcard is a socket per address, all with one port, and each answers from where it was asked.
func TestWildcard(t *testing.T) {
	ts := newTestServer(t, func(cfg *Config) { cfg.Listen = []string{"0.0.0.0:0"} })
	if nets := netsOf(ts.Addresses.Current()); len(ts.Addrs(UDP)) != len(addressesOf(nets, ipv4)) {
		t.Fatalf("addresses: got %v, want one per IPv4 address of %v", ts.Addrs(UDP), nets)
	}
	for _, at := range ts.Addrs(UDP) {
		if at.Port() != ts.Addrs(UDP)[0].Port() {
			t.Errorf("address %v: want the port of %v", at, ts.Addrs(UDP)[0])
		}
		c := ts.clientAt("alice", at) // connected: it receives answers from at alone
		c.allocate()
		if c.relayed.Addr() != at.Addr() {
			t.Errorf("client of %v: relayed at %v", at, c.relayed)
		}
	}
}

// Two interfaces may have one address, with different networks.
func TestAddressesOf(t *testing.T) {
	got := fmt.Sprint(addressesOf(prefixes("10.0.0.1/24", "10.0.0.1/32", "10.0.0.2/24", "::1/128"), ipv4))
	if want := "[10.0.0.1 10.0.0.2]"; got != want {
		t.Errorf("addresses: got %s, want %s", got, want)
	}
}

func TestPortRange(t *testing.T) {
	const low, high = 20_000, 20_099
	taken, err := occupy(netip.MustParseAddrPort("127.0.0.77:20050")) // by another program
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	ts := newTestServer(t, func(cfg *Config) {
		cfg.Listen, cfg.MinPort, cfg.MaxPort, cfg.UserQuota = []string{"127.0.0.77:0"}, low, high, 1000
	})
	seen := map[uint16]bool{20050: true}
	for range high - low {
		port := ts.allocated("alice").relayed.Port()
		if port < low || port > high || seen[port] {
			t.Errorf("relayed port %d: want a new one from %d to %d", port, low, high)
		}
		seen[port] = true
	}
	if code := errorCode(ts.client("alice").request(stun.MethodAllocate, requestedUDP)); code != 508 {
		t.Errorf("Allocate with all ports in use: got %d, want 508", code)
	}
}

// A port that was looked at and not taken is no allocation: it is neither counted nor kept.
func TestEvenPort(t *testing.T) {
	ts := newTestServer(t, nil)
	c := ts.client("alice")
	evenPort := stun.RawAttribute{Type: stun.AttrEvenPort, Value: []byte{0}}
	c.wantOK(stun.MethodAllocate, c.request(stun.MethodAllocate, requestedUDP, evenPort))
	if c.relayed.Port()%2 != 0 {
		t.Errorf("relayed port: got %d, want an even one", c.relayed.Port())
	}
	if got := ts.Stats(); got.AllocationsCreated != 1 || got.Allocations != 1 {
		t.Errorf("stats: got %+v, want one allocation", got)
	}
}

// Close ends everything, at once and as often as it is called. (That no goroutine is left is for TestMain.)
func TestClose(t *testing.T) {
	s, err := Listen(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background()) }()
	ts := &testServer{Server: s, t: t, secrets: s.Secrets, clock: &clock{t: s.auth.now()}}
	relayed := []netip.AddrPort{s.Addrs(UDP)[0]}
	for i := range 5 {
		relayed = append(relayed, ts.allocated(fmt.Sprint("user", i)).relayed)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := <-served; err != nil {
		t.Errorf("serve: got %v, want nil after Close", err)
	}
	if got := s.Stats().Allocations; got != 0 {
		t.Errorf("allocations: got %d, want none", got)
	}
	for _, at := range relayed {
		socket, err := occupy(at)
		if err != nil {
			t.Errorf("socket left open: %v", err)
			continue
		}
		socket.Close()
	}
	if err := s.Serve(context.Background()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("serve after close: got %v, want %v", err, net.ErrClosed)
	}
}

func TestCloseBeforeServe(t *testing.T) {
	s, err := Listen(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	socket, err := occupy(s.Addrs(UDP)[0])
	if err != nil {
		t.Fatalf("socket left open: %v", err)
	}
	socket.Close()
}

func TestServeTwice(t *testing.T) {
	ts := newTestServer(t, nil)
	ts.allocated("alice") // it serves
	if err := ts.Serve(t.Context()); !errors.Is(err, errServing) {
		t.Errorf("second Serve: got %v, want %v", err, errServing)
	}
}

func TestServeEndsWithContext(t *testing.T) {
	s, err := Listen(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Serve(ctx); err != nil {
		t.Errorf("serve: got %v, want nil", err)
	}
}

func TestURLs(t *testing.T) {
	ts := newTestServer(t, withTLS(t, func(cfg *Config) {
		cfg.TLSListen, cfg.DTLSListen = []string{"127.0.0.1:0", "127.0.0.1:0"}, []string{"127.0.0.1:0"}
	}))
	port, secure := ts.Addrs(UDP)[0].Port(), ts.Addrs(TLS)
	if tcp := ts.Addrs(TCP)[0].Port(); tcp != port {
		t.Errorf("TCP is at port %d, UDP at %d", tcp, port)
	}
	for host, in := range map[string]string{"example.com": "example.com", "2001:db8::1": "[2001:db8::1]"} {
		want := fmt.Sprintf("[stun:%[1]s:%[2]d turn:%[1]s:%[2]d?transport=udp turn:%[1]s:%[2]d?transport=tcp turns:%[1]s:%[3]d?transport=tcp turns:%[1]s:%[4]d?transport=tcp]",
			in, port, secure[0].Port(), secure[1].Port())
		if got := fmt.Sprint(ts.URLs(host)); got != want {
			t.Errorf("URLs of %s: got %s, want %s", host, got, want)
		}
	}
}

// Strangers' packets of any shape leave the relay working.
func TestGarbage(t *testing.T) {
	ts := newTestServer(t, nil)
	c := ts.allocated("alice")
	for _, raw := range [][]byte{{0}, {0x40, 0, 0xff, 0xff}, {0xff}, make([]byte, 20), make([]byte, 60_000), []byte("GET / HTTP/1.1\r\n\r\n"),
		stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication)).Raw,
		{0, 3, 0xff, 0xec, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}} {
		c.write(raw)
	}
	c.wantOK(stun.MethodRefresh, c.request(stun.MethodRefresh, lifetime(600)))
}

// Whoever runs the server is told why there is no relay for a client, but not once per request.
func TestRefusedAllocationsAreLogged(t *testing.T) {
	taken := newPeer(t, "127.0.0.1")
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"quota", func(cfg *Config) { cfg.UserQuota = 1 }, "the user has no allocation left"},
		{"ports", func(cfg *Config) { cfg.MinPort, cfg.MaxPort = taken.addr.Port(), taken.addr.Port() }, "address already in use"},
	}
	for _, tt := range tests {
		var log bytes.Buffer
		ts := newTestServer(t, func(cfg *Config) { tt.change(cfg); cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		ts.client("alice").request(stun.MethodAllocate, requestedUDP)
		for range 3 {
			ts.client("alice").request(stun.MethodAllocate, requestedUDP)
		}
		ts.clock.advance(time.Second)
		ts.client("alice").request(stun.MethodAllocate, requestedUDP)
		ts.Close()
		if got := strings.Count(log.String(), "level=WARN"); got != 2 || !strings.Contains(log.String(), tt.want) {
			t.Errorf("%s: got %d warnings, want one a second, with %q:\n%s", tt.name, got, tt.want, log.String())
		}
	}
}
