package signal

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigctl/sigctl/pkg/certs"
)

// What the relay has does not count as pending; until then it does.
func TestRelayIsNotPending(t *testing.T) {
	ss := newSharedServer(t, Config{MaxPending: 1, MaxPendingPerAddress: 1})
	ss.secure("")
	for range 3 {
		ss.turn()
		<-ss.relayed
		if got := ss.Stats().Pending; got != 0 {
			t.Errorf("%d connections are pending beside the relay's, want none", got)
		}
	}
	silent, err := ss.dial(t.Context(), "tcp", ss.addr)
	if err == nil {
		err = silent.(*tls.Conn).Handshake()
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := ss.Stats().Pending; got != 1 {
		t.Errorf("%d connections are pending, want the one of which it is not known whose it is", got)
	}
	if crowded, err := ss.dial(t.Context(), "tcp", ss.addr); err != nil || crowded.(*tls.Conn).Handshake() == nil {
		t.Errorf("one beside it is served, %v", err)
	}
	ss.stop()
	if got := ss.Stats().Pending; got != 0 {
		t.Errorf("%d connections are pending after the end", got)
	}
}

// The end of Serve closes the relay's connections and waits until it has left them.
func TestServeEndsTheRelay(t *testing.T) {
	ss := newSharedServer(t, Config{})
	for _, protocols := range [][]string{{"stun.turn"}, nil} {
		ss.secure("", protocols...)
		ss.turn()
	}
	ss.stop()
	if n := len(ss.left); n != 2 {
		t.Errorf("the relay has left %d connections at the end of Serve, want 2", n)
	}
}

// After its first byte an HTTP client has the time that it has on a port of its own.
func TestSlowOnASharedPort(t *testing.T) {
	ss := &sharedServer{relayed: make(chan net.Addr, 1), left: make(chan error, 1)}
	cfg := &Config{Names: everybody{}}
	ss.share(t, cfg)
	cfg.Clients, cfg.TLS = nil, clocked(t, cfg.TLS)
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		ts := startServer(t, cfg, l)
		for _, tt := range []struct {
			protocols []string
			send      string
			want      time.Duration
		}{
			{nil, "", headerTimeout},
			{nil, "G", headerTimeout},
			{[]string{"http/1.1"}, "", headerTimeout},
			{nil, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", idleTimeout},
		} {
			nc, err := l.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			client := tls.Client(nc, &tls.Config{
				RootCAs: ss.roots, ServerName: "localhost", NextProtos: tt.protocols, Time: cfg.TLS.Time,
			})
			io.WriteString(client, tt.send)
			start := time.Now()
			io.Copy(io.Discard, client)
			if got := time.Since(start); got != tt.want {
				t.Errorf("%q, %q and silence: closed after %v, want %v", tt.protocols, tt.send, got, tt.want)
			}
			nc.Close()
		}
		ts.stop()
	})
}

// clocked returns config for a bubble, whose clock is not that of certificates from
// outside.
func clocked(t *testing.T, config *tls.Config) *tls.Config {
	now := time.Now()
	config = config.Clone()
	config.Time = func() time.Time { return now }
	config.GetConfigForClient = nil
	return config
}

func TestRelayNeedsTLSForAll(t *testing.T) {
	relay := func(net.Conn) {}
	dir := t.TempDir()
	certificate, err := certs.Development(dir, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	required, err := certs.OpenClients(&certs.ClientOptions{CA: filepath.Join(dir, "ca", "root.pem"), Required: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no TLS", Config{Relay: relay}, "Config.Relay: a port cannot be shared"},
		{"certificates required", Config{Relay: relay, TLS: required.Server(certificate.TLS("http/1.1"))}, "Config.Relay: a port that demands client certificates"},
	} {
		tt.cfg.Users = passwords{}
		if _, err := New(&tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}
