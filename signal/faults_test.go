package signal

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sigctl/sigctl/pkg/certs"
	"github.com/sigctl/sigctl/pkg/protocol"
)

func TestFaultsAreAnsweredAndTheConnectionStays(t *testing.T) {
	deep := strings.Repeat(`[`, 10000) + strings.Repeat(`]`, 10000)
	long := strings.Repeat("x", 65)
	for _, tt := range []struct{ name, frame, code, text string }{
		{"not JSON", `hello`, "bad_message", "not JSON"},
		{"array", `[]`, "bad_message", "must be a JSON object"},
		{"no type", `{}`, "bad_message", "type is missing"},
		{"unknown type", `{"type":"dance"}`, "unknown_type", "Command not found: dance"},
		{"deep nesting", `{"type":"peers","x":` + deep + `}`, "bad_message", "nested deeper than 16"},
		{"wrong field type", `{"type":"offer","name":7}`, "bad_message", "name must not be a number"},
		{"long name", `{"type":"leave","name":"` + long + `"}`, "bad_message", "name must be 1 to 64"},
		{"control characters", `{"type":"leave","name":"a\u0000b"}`, "bad_message", "name must be 1 to 64"},
		{"offline", `{"type":"leave","name":"user9"}`, "peer_offline", "user9 is not here"},
		{"second login", `{"type":"login","name":"user1","password":"password1"}`, "already_logged_in", "signed in as user1"},
		{"just too large", `{"type":"peers","x":"` + strings.Repeat("x", protocol.MaxFrame) + `"}`, "too_large", "larger than 65536 bytes"},
		{"large", `{"type":"peers","x":"` + strings.Repeat("x", 200<<10) + `"}`, "too_large", "larger than 65536 bytes"},
		{"refresh", `{"type":"refresh","token":"t"}`, "bad_credentials", "takes no tokens"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newTestServer(t, nil).join("user1")
			c.send(tt.frame)
			c.wantError(tt.code, tt.text)
			c.wantAlive()
		})
	}
}

func TestFaultsThatClose(t *testing.T) {
	for _, tt := range []struct {
		name  string
		kind  int
		frame string
		code  protocol.CloseCode
	}{
		{"1 MiB", websocket.TextMessage, strings.Repeat("x", 1<<20), protocol.CloseTooLarge},
		{"binary", websocket.BinaryMessage, `{"type":"peers"}`, protocol.CloseBinary},
		{"not UTF-8", websocket.TextMessage, "{\"type\":\"\xff\"}", protocol.CloseNotUTF8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t, nil)
			c := ts.join("user1")
			if err := c.ws.WriteMessage(tt.kind, []byte(tt.frame)); err != nil {
				t.Fatal(err)
			}
			c.wantClose(int(tt.code))
			ts.stop()
			if n := ts.Stats().Closed[tt.code]; n != 1 {
				t.Errorf("%d connections counted as closed with %v, want 1", n, tt.code)
			}
		})
	}
}

func TestTooManyFaultsClose(t *testing.T) {
	c := newTestServer(t, nil).connect("a")
	for range protocol.MaxFaults + 1 {
		c.send(`{"type":"login","name":"user1","password":"guess"}`)
	}
	for range protocol.MaxFaults + 1 {
		c.want(`{"type":"login","success":false}`)
	}
	c.wantClose(int(protocol.CloseProtocolError))
}

func TestSlowFaultsDoNotClose(t *testing.T) {
	var f faults
	now := time.Now()
	for i := range 100 {
		if f.add(now.Add(time.Duration(i) * 7 * time.Second)) {
			t.Fatalf("fault %d, 7 s after the last one, is one too many", i)
		}
	}
}

// bubble runs f with a server whose connections live in a synctest bubble, so
// that its real time-outs pass at once.
func bubble(t *testing.T, f func(ts *testServer)) { bubbleWith(t, nil, f) }

func bubbleWith(t *testing.T, cfg *Config, f func(ts *testServer)) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		ts := startServer(t, cfg, l)
		ts.dial = l.dial
		f(ts)
		ts.stop()
	})
}

func TestSilenceBeforeLogin(t *testing.T) {
	bubble(t, func(ts *testServer) {
		start := time.Now()
		c := ts.connect("silent")
		_, _, err := c.ws.ReadMessage() // answers pings meanwhile
		if !websocket.IsCloseError(err, int(protocol.CloseNotAuthenticated)) {
			t.Errorf("got %v, want close %d", err, protocol.CloseNotAuthenticated)
		}
		if got := time.Since(start); got != protocol.LoginTimeout {
			t.Errorf("closed after %v, want %v", got, protocol.LoginTimeout)
		}
	})
}

func TestLoggedInStaysWhileItAnswersPings(t *testing.T) {
	bubble(t, func(ts *testServer) {
		c := ts.join("user1")
		stay := time.AfterFunc(time.Hour, func() { c.send(`{"type":"ice"}`) })
		defer stay.Stop()
		if _, _, err := c.ws.ReadMessage(); err != nil {
			t.Errorf("after an hour: %v", err)
		}
	})
}

func TestNoPongCloses(t *testing.T) {
	bubble(t, func(ts *testServer) {
		c := ts.join("user1")
		c.ws.SetPingHandler(func(string) error { return nil })
		start := time.Now()
		_, _, err := c.ws.ReadMessage()
		if !websocket.IsCloseError(err, int(protocol.ClosePingTimeout)) {
			t.Errorf("got %v, want close %d", err, protocol.ClosePingTimeout)
		}
		if got, most := time.Since(start), protocol.PingInterval+protocol.PongTimeout; got > most {
			t.Errorf("closed after %v, want at most %v", got, most)
		}
	})
}

func TestStaleSessionIsTakenOver(t *testing.T) {
	bubble(t, func(ts *testServer) {
		old := ts.join("user1")
		pinged := make(chan struct{}, 1)
		old.ws.SetPingHandler(func(string) error { pinged <- struct{}{}; return nil })
		ended := make(chan error, 1)
		go func() { _, _, err := old.ws.ReadMessage(); ended <- err }()
		<-pinged
		time.Sleep(staleAfter + time.Millisecond) // the bubble's clock, not ours
		ts.join("user1").wantAlive()
		if err := <-ended; !websocket.IsCloseError(err, int(protocol.CloseReplaced)) {
			t.Errorf("old connection got %v, want close %d", err, protocol.CloseReplaced)
		}
	})
}

func TestPendingConnectionsAreBounded(t *testing.T) {
	ts := newTestServer(t, &Config{MaxPendingPerAddress: 3})
	ts.join("user1")                        // no longer pending
	ts.connect("idle")                      // pending
	silent, err := net.Dial("tcp", ts.addr) // pending: never speaks
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := ts.tryConnect("third", nil); err != nil {
		t.Errorf("third pending connection: %v", err)
	}
	if _, err := ts.tryConnect("fourth", nil); err == nil {
		t.Error("a fourth pending connection was let in")
	}
	ts.stop()
	if n := ts.Stats().Pending; n != 0 {
		t.Errorf("%d connections still count as pending after the end", n)
	}
}

func TestOrigins(t *testing.T) {
	ts := newTestServer(t, &Config{AllowOrigins: []string{"https://example.com", "http://localhost:*"}})
	for origin, want := range map[string]bool{
		"http://" + ts.addr:            true,
		"https://example.com":          true,
		"http://localhost:5173":        true,
		"http://localhost":             true,
		"https://localhost:5173":       false,
		"https://evil.example":         false,
		"https://example.com.evil.com": false,
		"http://example.com":           false,
		"null":                         false,
	} {
		_, err := ts.tryConnect(origin, http.Header{"Origin": {origin}})
		if got := err == nil; got != want {
			t.Errorf("origin %s: let in = %v, want %v (%v)", origin, got, want, err)
		}
	}
}

func TestTLSPort(t *testing.T) {
	config, pool := testTLS(t)
	ts := newTestServer(t, &Config{TLS: config})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	wantBody(t, client, "https://"+ts.addr+"/healthz", 200, "OK")
	wantBody(t, http.DefaultClient, "http://"+ts.addr+"/healthz", 400, "Client sent an HTTP request to an HTTPS server.\n")
}

func testTLS(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	certificate, err := certs.Development(dir, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := certs.Pool(filepath.Join(dir, "ca", "root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return certificate.TLS("http/1.1"), pool
}

func wantBody(t *testing.T, c *http.Client, url string, status int, body string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != status || string(got) != body {
		t.Errorf("%s = %d %q, want %d %q", url, resp.StatusCode, got, status, body)
	}
}

func TestConnectionThatNeverSpeaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config, _ := testTLS(t)
		l := newMemoryListener()
		ts := startServer(t, &Config{TLS: config}, l)
		nc, err := l.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		io.Copy(io.Discard, nc)
		if got := time.Since(start); got != headerTimeout {
			t.Errorf("closed after %v, want %v", got, headerTimeout)
		}
		ts.stop()
	})
}

func TestServeEndsWithItsContext(t *testing.T) {
	const clients = 100
	ts := newTestServer(t, nil)
	var all []*client
	for i := range clients {
		all = append(all, ts.join(fmt.Sprintf("user%d", i)))
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); ts.stop() }()
	for _, c := range all {
		c.wantClose(int(protocol.CloseDraining))
	}
	<-stopped
	if got := ts.Stats(); got.Connections != 0 || got.Sessions != 0 || got.Pending != 0 {
		t.Errorf("after the end there are still %+v", got)
	}
}

// queued returns how many bytes wait for a user's socket.
func (ts *testServer) queued(name string) int {
	c := ts.hub.find(name).conn
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.out.queue.others)
}

// What a slow reader gets late it gets whole and in order, whoever wrote it: the
// sender as far as the socket took it, the connection's own writer the rest.
func TestSlowReaderGetsAllInOrder(t *testing.T) {
	const offers = 50 // × 60 KB: far more than the kernel buffers
	ts := newNarrowServer(t, &Config{MaxQueue: 64 << 20, Rates: unbounded})
	slow, sender := ts.join("user1"), ts.join("user2")
	long := strings.Repeat("x", 60<<10)
	for i := range offers {
		_, quoted := sdpOf(fmt.Sprint(i, " ", long))
		sender.send(`{"type":"offer","name":"user1","offer":{"type":"offer","sdp":` + quoted + `}}`)
	}
	sender.wantAlive() // so all were handled
	if queued := ts.queued("user1"); queued < offers/2*len(long) {
		t.Fatalf("%d bytes are queued for the slow reader: the kernel took the rest, and there is nothing to test", queued)
	}
	for i := range offers {
		got := slow.want(fmt.Sprintf(`{"type":"offer","name":"user2","seq":%d}`, i+2))
		if text := got["offer"].(map[string]any)["sdp"].(string); text != fmt.Sprintf("v=0\ns=%d %s\n", i, long) {
			t.Fatalf("offer %d came damaged: %.20q… of %d bytes", i, text, len(text))
		}
	}
}
