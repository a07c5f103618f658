package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"

	"github.com/sigctl/sigctl/pkg/admin"
	"github.com/sigctl/sigctl/pkg/certs"
	"github.com/sigctl/sigctl/turnserver"
)

// relayClient is a client of the server's relay over conn, until the test ends.
func (ts *testServer) relayClient(conn net.PacketConn, username, password string) *turn.Client {
	ts.t.Helper()
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled
	c, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: ts.relay.Addrs(turnserver.UDP)[0].String(), Conn: conn, Username: username, Password: password, LoggerFactory: quiet,
	})
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { c.Close(); conn.Close() })
	if err := c.Listen(); err != nil {
		ts.t.Fatal(err)
	}
	return c
}

// udpRelayClient is one over UDP, with a credential of user1.
func (ts *testServer) udpRelayClient() *turn.Client {
	ts.t.Helper()
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		ts.t.Fatal(err)
	}
	credential := ts.secrets.Issue("user1", iceTTL, time.Now())
	return ts.relayClient(socket, credential.Username, credential.Password)
}

// HTTPS and TURN share the port, and who signs in is told so, last.
func TestSharedPort(t *testing.T) {
	opts := testOptions(t)
	opts.sharePort = true
	ts := startServer(t, opts)
	at := ts.listeners[0].Addr().String()
	servers, _ := ts.ice.servers("user1")
	urls := servers[len(servers)-1].URLs
	if got, want := urls[len(urls)-1], "turns:"+at+"?transport=tcp"; got != want {
		t.Errorf("the last ICE server is %s, want %s", got, want)
	}
	pool, err := certs.Pool(ts.caRoot())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", at, &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	c := ts.relayClient(turn.NewSTUNConn(conn), servers[len(servers)-1].Username, servers[len(servers)-1].Credential)
	relayed, err := c.Allocate()
	if err != nil {
		t.Fatalf("allocate on the port of HTTPS: %v", err)
	}
	relayed.Close()
}

// What gets through where little else does comes last, of UDP and TCP the former first.
func TestRelayURLs(t *testing.T) {
	got := lastHTTPS([]string{"stun:a:3478", "turn:a:3478?transport=udp", "turns:a:443?transport=tcp", "turns:a:5349?transport=tcp"})
	want := []string{"stun:a:3478", "turn:a:3478?transport=udp", "turns:a:5349?transport=tcp", "turns:a:443?transport=tcp"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSharedPortBehindProxy(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	for publicURL, want := range map[string]string{
		"":                          "relay.example:" + port,
		"wss://signal.example":      "signal.example:443",
		"wss://signal.example:8443": "signal.example:8443",
	} {
		a := &app{opts: &serveOptions{publicURL: publicURL, publicHost: "relay.example"}, listeners: []net.Listener{listener}}
		if got := a.sharedPort(); got != want {
			t.Errorf("--public-url %q: %s, want %s", publicURL, got, want)
		}
	}
}

// A drained relay opens nothing new, says how much is left, and is empty when that has
// ended; who signs in is told of others.
func TestDrain(t *testing.T) {
	opts := testOptions(t)
	opts.iceServers = []string{"turn:other.example:3478"}
	ts := startServer(t, opts)
	relayed, err := ts.udpRelayClient().Allocate()
	if err != nil {
		t.Fatal(err)
	}
	drain := func() (answer drainAnswer) {
		t.Helper()
		err := withRelay(t.Context(), opts.global.data, func(c *admin.Client) (err error) {
			answer, err = adminDrain.Call(t.Context(), c, drainRequest{})
			return err
		})
		if err != nil {
			t.Fatalf("drain: %v", err)
		}
		return answer
	}
	if got, want := drain(), (drainAnswer{Allocations: 1}); got != want {
		t.Errorf("with an allocation: %+v, want %+v", got, want)
	}
	if relayed, err := ts.udpRelayClient().Allocate(); err == nil {
		relayed.Close()
		t.Error("an allocation was opened while it drains")
	}
	if servers, _ := ts.ice.servers("user1"); len(servers) != 1 || !slices.Equal(servers[0].URLs, opts.iceServers) {
		t.Errorf("ICE servers while it drains are %v, want those of --ice-server", servers)
	}
	if err := ts.ready(t.Context()); !errors.Is(err, turnserver.ErrDraining) {
		t.Errorf("ready: %v, want %v", err, turnserver.ErrDraining)
	}
	relayed.Close() // tells the relay
	for answer := drain(); !answer.Empty; answer = drain() {
	}
}

// A drained relay that is the only one is still told: it says where else to go.
func TestDrainOfTheOnlyRelay(t *testing.T) {
	i := newICEIssuer(func() []string { return []string{"stun:a:1", "turn:a:1"} }, []string{"stun:b:1"}, nil)
	if !i.drain() || i.drain() {
		t.Error("the first drain is to be new, the second is not")
	}
	if got := i.urls(); !slices.Equal(got.turn, []string{"turn:a:1"}) || len(got.stun) != 2 {
		t.Errorf("URLs are %v, want all", got)
	}
}

// writerFunc is a writer that is told what is written.
type writerFunc func(text string)

func (f writerFunc) Write(p []byte) (int, error) { f(string(p)); return len(p), nil }

// Who waits for the end of what is open is told how much that is, and who does not
// want to wait for ever is told that it has not ended.
func TestDrainWaits(t *testing.T) {
	opts := testOptions(t)
	ts := startServer(t, opts)
	relayed, err := ts.udpRelayClient().Allocate()
	if err != nil {
		t.Fatal(err)
	}
	defer relayed.Close()
	var status string
	ctx, cancel := context.WithCancel(t.Context())
	std := stdio{out: io.Discard, err: writerFunc(func(text string) { status += text; cancel() })}
	if err := runDrain(ctx, &drainOptions{global: opts.global}, std); exitCode(err) != exitInterrupted {
		t.Errorf("interrupted: %v, exit code %d", err, exitCode(err))
	}
	if want := "Draining: 1 allocation left\n"; status != want {
		t.Errorf("status %q, want %q", status, want)
	}
	err = runDrain(t.Context(), &drainOptions{global: opts.global, wait: time.Millisecond}, stdio{out: io.Discard, err: io.Discard})
	if exitCode(err) != exitFailed || err.Error() != "after 1ms the relay is not empty" {
		t.Errorf("after its time: %v, exit code %d", err, exitCode(err))
	}
}

// peersLog tells what is logged of the peers' file.
type peersLog struct {
	slog.Handler
	messages chan string
}

func (peersLog) Enabled(context.Context, slog.Level) bool { return true }

func (l peersLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == peersChanged || r.Message == peersKept {
		l.messages <- r.Message
	}
	return nil
}

// Peers that the file denies from now on cannot be reached, though they could; what is
// no list changes nothing.
func TestPeersFollowTheirFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "peers.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("allow: [127.0.0.0/8]\n")
	opts := testOptions(t)
	opts.demo = false
	opts.relay.peers = path
	log := peersLog{slog.DiscardHandler, make(chan string, 8)}
	a, err := newApp(t.Context(), opts, stdio{}, slog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	ts := runServer(t, a)
	c := ts.udpRelayClient()
	relayed, err := c.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	defer relayed.Close()
	permit := func() error {
		return c.CreatePermission(net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.2:9")))
	}
	if err := permit(); err != nil {
		t.Errorf("an allowed peer: %v", err)
	}
	write("deny\n")
	if got := <-log.messages; got != peersKept {
		t.Errorf("the log has %q, want %q", got, peersKept)
	}
	if err := permit(); err != nil {
		t.Errorf("an allowed peer while the file is broken: %v", err)
	}
	write("allow: [127.0.0.0/8]\ndeny: [127.0.0.2]\n")
	if got := <-log.messages; got != peersChanged {
		t.Errorf("the log has %q, want %q", got, peersChanged)
	}
	if err := permit(); err == nil {
		t.Error("a peer that is denied now can be reached")
	}
}
