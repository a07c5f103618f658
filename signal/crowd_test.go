package signal

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/listen"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/token"
)

// attack opens idle connections to a server from 32 addresses of Linux's loopback network,
// 127.2.N.1, and more and more until stop is called or there were 8192, no faster than the server
// closes others. When it returns there have been more than it lets stay open.
func (ts *testServer) attack() (stop func()) {
	const workers, keep, most = 4, 96, 2048 // keep and most of each worker
	ctx, cancel := context.WithCancel(ts.t.Context())
	var full, running sync.WaitGroup
	for worker := range workers {
		full.Add(1)
		running.Go(func() {
			var open []net.Conn
			for i := 0; i < most && ctx.Err() == nil; i++ {
				if i == keep+1 {
					full.Done()
				}
				nc, err := from(fmt.Sprintf("127.2.%d.1", i%8*workers+worker))(ctx, "tcp", ts.addr)
				if err != nil {
					continue // the end
				}
				if open = append(open, nc); len(open) > keep { // the server closes it, as fast as it can
					open[0].SetReadDeadline(time.Now().Add(10 * time.Second))
					open[0].Read(make([]byte, 1))
					open[0].Close()
					open = open[1:]
				}
			}
			<-ctx.Done()
			for _, nc := range open {
				nc.Close()
			}
		})
	}
	full.Wait()
	return func() { cancel(); running.Wait() }
}

// secureFrom dials from an address of Linux's loopback network, and shakes hands.
func secureFrom(addr string, roots *x509.CertPool) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, to string) (net.Conn, error) {
		nc, err := from(addr)(ctx, network, to)
		if err != nil {
			return nil, err
		}
		return tls.Client(nc, &tls.Config{RootCAs: roots, ServerName: "localhost"}), nil
	}
}

// Idle connections from 32 addresses, more than there may be, and more and more of them, keep
// nobody from signing in, neither newcomers nor those who did before, and end nobody's session.
func TestIdleCrowd(t *testing.T) {
	config, roots := testTLS(t)
	ts := newTestServer(t, &Config{TLS: config, MaxPending: 256})
	join := func(addr, name string) *client {
		ts.dial = secureFrom(addr, roots)
		return ts.join(name)
	}
	early, former := join("127.3.0.1", "user1"), join("127.3.0.2", "user2")
	former.ws.Close()
	defer ts.attack()()
	for i := range 10 {
		join(fmt.Sprintf("127.3.1.%d", 1+i), fmt.Sprint("user", 3+i)).wantAlive()
	}
	join("127.3.0.2", "user13").wantAlive()
	early.send(`{"type":"ice","id":"early"}`)
	for got := (map[string]any{}); got["ref"] != "early"; {
		var err error
		if got, err = early.read(); err != nil { // who joined comes first
			t.Fatalf("the session from before the attack: %v", err)
		}
	}
	stats := ts.Stats()
	if stats.Pending > 256 || stats.Refused["too_many"] == 0 {
		t.Errorf("stats say %+v, want 256 pending at most, and what was pushed out", stats)
	}
}

// trusting returns proxies at the addresses of a prefix, which say for whom they speak in a PROXY
// header or in X-Forwarded-For.
func trusting(t *testing.T, prefix string, header bool) *listen.Proxies {
	t.Helper()
	p, err := listen.NewProxies(&listen.ProxyOptions{Trusted: []netip.Prefix{netip.MustParsePrefix(prefix)}, PROXY: header})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Without a login for some seconds in a server that is full, the oldest connection makes room for
// the newest.
func TestOldestMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		ts := startServer(t, &Config{MaxPending: 2}, l)
		ts.dial = l.dial
		idle, second := ts.connect("idle"), ts.connect("second")
		if _, err := ts.tryConnect("refused", nil); err == nil {
			t.Error("a third one is let in at once, and so takes the time to log in from another")
		}
		time.Sleep(10 * time.Second)
		third := ts.connect("third")
		if got, err := idle.read(); err == nil {
			t.Errorf("the oldest got %v, want its end", got)
		}
		for i, c := range []*client{second, third} {
			c.send(fmt.Sprintf(`{"type":"login","name":"user%d","password":"password%[1]d"}`, i))
			c.want(`{"type":"login","success":true}`)
		}
		ts.stop()
	})
}

func TestTooManySessions(t *testing.T) {
	ts := newTestServer(t, &Config{MaxSessions: 2})
	first := ts.join("user1")
	ts.join("user2")
	c := ts.connect("third")
	login := `{"type":"login","name":"user3","password":"password3"}`
	c.send(login)
	c.want(`{"type":"login","success":false,"code":"busy","retryAfter":10}`)
	if got := ts.Stats(); got.Sessions != 2 || got.Refused[tooManySessions] != 1 {
		t.Errorf("stats say %+v, want 2 sessions and one refusal", got)
	}
	first.ws.Close()
	for ts.Stats().Connections > 2 {
		runtime.Gosched() // it ends by itself
	}
	c.send(login)
	c.want(`{"type":"login","success":true}`)
	ts.stop()
	if n := ts.admission.admitted; n != 0 {
		t.Errorf("%d connections still count as signed in after the end", n)
	}
}

// Connections of one address have a rate, and those beyond cost no TLS handshake. A proxy's count
// at its client's address.
func TestConnectionsAreRated(t *testing.T) {
	config, roots := testTLS(t)
	ts := newTestServer(t, &Config{
		TLS: config, ConnsPerAddress: limit.Rate{PerSecond: 1e-3, Burst: 3}, Proxies: trusting(t, "127.0.0.9/32", true),
	})
	shakeHands := func(addr, first string) error {
		nc, err := prefixed(from(addr), first)(t.Context(), "tcp", ts.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		return tls.Client(nc, &tls.Config{RootCAs: roots, ServerName: "localhost"}).Handshake()
	}
	const alice, bob = "PROXY TCP4 192.0.2.7 192.0.2.1 5 6\r\n", "PROXY TCP4 192.0.2.8 192.0.2.1 5 6\r\n"
	for _, tt := range []struct {
		name, addr, first string
		n, want           int
	}{
		{"one address", "127.0.0.1", "", 5, 3},
		{"another", "127.0.0.2", "", 2, 2},
		{"a proxy's client", "127.0.0.9", alice, 5, 3},
		{"another client of the proxy's", "127.0.0.9", bob, 2, 2},
	} {
		served := 0
		for range tt.n {
			if shakeHands(tt.addr, tt.first) == nil {
				served++
			}
		}
		if served != tt.want {
			t.Errorf("%s: %d of %d connections are served, want %d", tt.name, served, tt.n, tt.want)
		}
	}
	if got := ts.Stats().Refused["too_fast_from_address"]; got != 4 {
		t.Errorf("%d are counted as refused, want 4", got)
	}
}

// Requests of one address have a rate, whatever they ask for and however few connections they come
// over. Those of a proxy count at its client's address, and its own have none.
func TestRequestsAreRated(t *testing.T) {
	const burst = 10
	tokens, err := token.Open(t.Context(), token.FileKeys(filepath.Join(t.TempDir(), "keys.json")), token.NewMemorySpender(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, request := range map[string]func(*http.Request){
		"the page":          func(r *http.Request) {},
		"what is not there": func(r *http.Request) { r.URL.Path = "/nothing" },
		"its health":        func(r *http.Request) { r.URL.Path = "/healthz" },
		"keys":              func(r *http.Request) { r.URL.Path = protocol.PathJWKS },
		"the API":           func(r *http.Request) { r.URL.Path = protocol.PathJoin },
		"an API preflight":  func(r *http.Request) { r.URL.Path, r.Method = protocol.PathLogin, "OPTIONS" },
		"an upgrade that is refused": func(r *http.Request) {
			r.URL.Path = "/ws"
			r.Header.Set("Origin", "https://evil.example")
		},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, &Config{
				Tokens: tokens, Names: everybody{},
				RequestsPerAddress: limit.Rate{PerSecond: 0.1, Burst: burst}, Proxies: trusting(t, "127.0.0.9/32", false),
			})
			ask := func(addr, client string, n int) (refused int) {
				transport := &http.Transport{DialContext: from(addr)}
				defer transport.CloseIdleConnections()
				for range n {
					r, _ := http.NewRequest("GET", "http://"+ts.addr, nil)
					request(r)
					if client != "" {
						r.Header.Set("X-Forwarded-For", client)
					}
					resp, err := transport.RoundTrip(r)
					if err != nil {
						t.Fatal(err)
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode == http.StatusTooManyRequests {
						refused++
						if after := resp.Header.Get("Retry-After"); after != "10" {
							t.Errorf("Retry-After %q, want 10", after)
						}
					}
				}
				return refused
			}
			for _, tt := range []struct {
				from, client string
				n, want      int
			}{
				{"127.0.0.1", "", burst + 2, 2},
				{"127.0.0.2", "", burst, 0},
				{"127.0.0.9", "192.0.2.7", burst + 1, 1},
				{"127.0.0.9", "192.0.2.8", burst, 0},
				{"127.0.0.9", "", burst + 5, 0},
			} {
				if got := ask(tt.from, tt.client, tt.n); got != tt.want {
					t.Errorf("from %s for %q: %d of %d are refused, want %d", tt.from, tt.client, got, tt.n, tt.want)
				}
			}
			if got := ts.Stats().Refused[tooManyRequests]; got != 3 {
				t.Errorf("%d are counted as refused, want 3", got)
			}
		})
	}
}
