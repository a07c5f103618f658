package signal

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/listen"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// from makes connections come from an address of this machine.
func from(addr string) func(ctx context.Context, network, to string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	return d.DialContext
}

// Who guesses has to wait, over the WebSocket and HTTP alike; who is elsewhere does
// not, not even under the same name.
func TestGuessingIsSlowedDown(t *testing.T) {
	as := newAccessServer(t)
	guess := func(i int) (code string, answer map[string]any) {
		if i%2 == 0 {
			_, answer = as.do("POST", protocol.PathLogin, "", `{"name":"user1","password":"guess"}`)
		} else {
			c := as.connect("guesser")
			c.send(`{"type":"login","name":"user1","password":"guess"}`)
			answer = c.want(`{"type":"login","success":false}`)
			c.ws.Close()
		}
		code, _ = answer["code"].(string)
		return code, answer
	}
	const free = 10
	answers := map[string]int{}
	for i := 0; answers["rate_limited"] < 4; i++ { // a slow machine makes some more in time: the delays double
		code, answer := guess(i)
		answers[code]++
		if limited := code == "rate_limited"; !limited && code != "bad_credentials" ||
			limited && (i < free || answer["retryAfter"] == nil) || answers["bad_credentials"] > 2*free {
			t.Fatalf("guess %d is answered with %v, want bad_credentials %d times, then rate_limited", i+1, answer, free)
		}
	}
	as.dial = from("127.0.0.2")
	as.join("user1")
	checked, throttled := 0, 0
	for _, e := range as.audit.take(t) {
		switch e.Code {
		case protocol.CodeBadCredentials:
			checked++
		case protocol.CodeRateLimited:
			throttled++
		}
	}
	if checked != answers["bad_credentials"] || throttled != 1 {
		t.Errorf("audit holds %d refused and %d throttled logins, want %d and 1", checked, throttled, answers["bad_credentials"])
	}
}

// A session that sends too fast is told so, and closed if that does not help.
func TestMessagesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in which no time passes
		audited, l := &lines{}, newMemoryListener()
		log := audit.New(audited)
		defer log.Close()
		ts := startServer(t, &Config{Audit: log}, l)
		ts.dial = l.dial
		messagesAreLimited(ts, audited)
		ts.stop()
	})
}

func messagesAreLimited(ts *testServer, audited *lines) {
	t, a, b := ts.t, ts.join("user1"), ts.join("user2")
	for range 20 {
		a.send(`{"type":"offer","name":"user2","offer":{"type":"offer","sdp":"v=0\r\n"}}`)
		b.want(`{"type":"offer"}`)
	}
	a.send(`{"type":"offer","id":"x","name":"user2","offer":{"type":"offer","sdp":"v=0\r\n"}}`)
	a.want(`{"type":"error","code":"rate_limited","ref":"x","name":"user2","retryAfter":1}`)
	a.send(`{"type":"candidate","name":"user2","candidate":null}`) // has a rate of its own
	b.want(`{"type":"candidate"}`)
	batch := `{"type":"candidates","name":"user2","candidates":[null` + strings.Repeat(",null", 31) + `]}`
	for range 3 {
		a.send(batch)
		b.want(`{"type":"candidates"}`)
	}
	a.send(batch)
	a.want(`{"type":"error","code":"rate_limited"}`)
	for range 200 {
		if a.trySend(batch) != nil {
			break
		}
	}
	a.wantClose(int(protocol.CloseRateLimited))
	b.want(`{"type":"leave","name":"user1"}`)
	limited := 0
	for _, e := range audited.take(t) {
		if e.Code == protocol.CodeRateLimited && e.Kind == audit.Refused {
			limited++
		}
	}
	if limited != 1 {
		t.Errorf("audit holds %d lines of what came too fast, want 1 a minute", limited)
	}
}

// Behind a proxy the client's address is the one that the proxy tells; from anybody
// else the same words count for nothing.
func TestClientAddressBehindProxies(t *testing.T) {
	proxies := func(proxy bool) *listen.Proxies {
		p, err := listen.NewProxies(&listen.ProxyOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, PROXY: proxy})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tt := range []struct {
		name, from, first, header, want string
		proxy                           bool
	}{
		{"header from the proxy", "127.0.0.1", "", "203.0.113.9, 192.0.2.7", "192.0.2.7", false},
		{"header from a stranger", "127.0.0.2", "", "192.0.2.7", "127.0.0.2", false},
		{"PROXY from the proxy", "127.0.0.1", "PROXY TCP4 192.0.2.7 192.0.2.1 5 6\r\n", "", "192.0.2.7", true},
		{"PROXY, and a forged header", "127.0.0.1", "PROXY TCP4 192.0.2.7 192.0.2.1 5 6\r\n", "198.51.100.1", "192.0.2.7", true},
		{"no proxy, forged header", "127.0.0.2", "", "198.51.100.1", "127.0.0.2", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t, &Config{Proxies: proxies(tt.proxy)})
			ts.dial = prefixed(from(tt.from), tt.first)
			header := map[string][]string{}
			if tt.header != "" {
				header["X-Forwarded-For"] = []string{tt.header}
			}
			c, err := ts.tryConnect("a", header)
			if err != nil {
				t.Fatal(err)
			}
			c.want(`{"type":"hello"}`)
			c.send(`{"type":"login","name":"user1","password":"password1"}`)
			c.want(`{"type":"login","success":true}`)
			if got := ts.List()[0].Address.String(); got != tt.want {
				t.Errorf("the client's address is %s, want %s", got, tt.want)
			}
		})
	}
}

// What is no PROXY header where one has to be, or is one where none counts, gets no
// answer, and leaves nothing.
func TestBadPROXYHeaders(t *testing.T) {
	p, err := listen.NewProxies(&listen.ProxyOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, PROXY: true})
	if err != nil {
		t.Fatal(err)
	}
	ts := newTestServer(t, &Config{Proxies: p})
	for _, tt := range []struct{ name, from, first string }{
		{"missing", "127.0.0.1", ""},
		{"malformed", "127.0.0.1", "PROXY TCP4 192.0.2.7\r\n"},
		{"from a stranger", "127.0.0.2", "PROXY TCP4 192.0.2.7 192.0.2.1 5 6\r\n"},
	} {
		ts.dial = prefixed(from(tt.from), tt.first)
		if _, err := ts.tryConnect("a", nil); err == nil {
			t.Errorf("PROXY header %s: the connection is served", tt.name)
		}
	}
	ts.stop()
	if got := ts.Stats(); got.Pending != 0 || got.Connections != 0 {
		t.Errorf("after the end there are still %+v", got)
	}
}

// prefixed connections begin with some bytes of their own.
func prefixed(dial func(context.Context, string, string) (net.Conn, error), first string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		if err == nil && first != "" {
			_, err = nc.Write([]byte(first))
		}
		return nc, err
	}
}

// The caps of one address hold for the clients behind a proxy, each by itself.
func TestPendingPerAddressBehindAProxy(t *testing.T) {
	p, err := listen.NewProxies(&listen.ProxyOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	ts := newTestServer(t, &Config{Proxies: p, MaxPendingPerAddress: 2})
	open := func(addr string) *client {
		c, err := ts.tryConnect(addr, map[string][]string{"X-Forwarded-For": {addr}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for range 2 {
		open("192.0.2.7").want(`{"type":"hello"}`)
		open("192.0.2.8").want(`{"type":"hello"}`)
	}
	open("192.0.2.7").wantClose(int(protocol.CloseRateLimited))
	open("192.0.2.9").want(`{"type":"hello"}`)
}

// Whoever is refused again and again does not fill the audit log, and hides no guess
// at a password in it.
func TestRefusalsAreLimited(t *testing.T) {
	as := newAccessServer(t)
	as.audit.take(t)
	codes, began := map[any]int{}, time.Now()
	for range 150 { // the audit log has 100 lines of them at once, and then one a second
		_, answer := as.do("GET", protocol.PathJoin, "eyJ.e30.c2ln", "")
		codes[answer["code"]]++
	}
	if codes["bad_credentials"] != 150 {
		t.Errorf("150 bad tokens are answered with %v", codes)
	}
	most := 100 + 1 + int(time.Since(began).Seconds()) + 1
	if n := len(as.audit.take(t)); n < 101 || n > most {
		t.Errorf("audit holds %d lines of them, want 100 and one of the rest, %d at most in this time", n, most)
	}
	for range 150 {
		as.do("DELETE", protocol.PathLogin, "", "")
	}
	as.audit.take(t)
	as.do("POST", protocol.PathLogin, "", `{"name":"user1","password":"guess"}`)
	if events := as.audit.take(t); len(events) != 1 || events[0].Code != protocol.CodeBadCredentials || events[0].User != "user1" {
		t.Errorf("audit holds %+v of a guess at user1's password", events)
	}
	if status, answer := as.do("GET", protocol.PathJoin, as.access("user1"), ""); status != 200 {
		t.Errorf("a good token from that address = %d %v", status, answer)
	}
}

// clients records whose passwords are checked.
type clients struct {
	Authenticator
	got chan limit.Client
}

func (u clients) Authenticate(ctx context.Context, name, password string, from limit.Client) error {
	u.got <- from
	return u.Authenticator.Authenticate(ctx, name, password, from)
}

// The order in which passwords are checked depends on the client's address and standing, over
// the WebSocket as over HTTP.
func TestPasswordsByStanding(t *testing.T) {
	users := clients{passwords{}, make(chan limit.Client, 1)}
	ts := newTestServer(t, &Config{Users: users})
	for _, step := range []struct {
		password string
		want     limit.Standing
	}{{"guess", limit.Neutral}, {"password1", limit.Poor}, {"password1", limit.Good}} {
		c := ts.connect("a")
		c.send(`{"type":"login","name":"user1","password":"` + step.password + `"}`)
		c.want(`{"type":"login"}`)
		if got := <-users.got; !got.Addr.IsLoopback() || got.Standing != step.want {
			t.Errorf("%s is checked for %v, want loopback with standing %d", step.password, got, step.want)
		}
		c.ws.Close()
	}
}
