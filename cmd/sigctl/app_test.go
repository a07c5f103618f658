package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/sigctl/sigctl/peer"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/turnserver"
)

// testServer is an app that runs until the test ends or stops it.
type testServer struct {
	*app
	t    *testing.T
	stop context.CancelFunc
	done chan error
	once sync.Once
}

func testOptions(t *testing.T) *serveOptions {
	return demoServer(filepath.Join(t.TempDir(), "data"))
}

func openTestApp(t *testing.T, opts *serveOptions) (*app, error) {
	t.Helper()
	return newApp(t.Context(), opts, stdio{}, slog.New(slog.DiscardHandler))
}

func startServer(t *testing.T, opts *serveOptions) *testServer {
	t.Helper()
	a, err := openTestApp(t, opts)
	if err != nil {
		t.Fatal(err)
	}
	return runServer(t, a)
}

// runServer runs an app until the test ends.
func runServer(t *testing.T, a *app) *testServer {
	ctx, cancel := context.WithCancel(t.Context())
	ts := &testServer{app: a, t: t, stop: cancel, done: make(chan error, 1)}
	go func() { ts.done <- errors.Join(a.serve(ctx), a.close()) }()
	t.Cleanup(ts.end)
	return ts
}

// end stops the server, once, and checks that it ends well.
func (ts *testServer) end() {
	ts.once.Do(func() {
		ts.stop()
		if err := <-ts.done; err != nil {
			ts.t.Errorf("the server ended with: %v", err)
		}
	})
}

func TestServerAnswers(t *testing.T) {
	opts := testOptions(t)
	opts.tls = "off"
	ts := startServer(t, opts)
	resp, err := http.Get(ts.pageURL() + "healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "OK" {
		t.Errorf("healthz: %q, %v", body, err)
	}
}

// Who is connected when the server ends is told to come back later.
func TestServerDrains(t *testing.T) {
	opts := testOptions(t)
	opts.tls = "off"
	ts := startServer(t, opts)
	ws, _, err := websocket.DefaultDialer.Dial(ts.signalURL()+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if _, _, err := ws.ReadMessage(); err != nil { // hello
		t.Fatal(err)
	}
	ts.stop()
	_, _, err = ws.ReadMessage()
	if !websocket.IsCloseError(err, int(protocol.CloseDraining)) {
		t.Errorf("the client sees %v, want close code %d", err, protocol.CloseDraining)
	}
}

// A server that ends leaves nothing behind: the next one on the same ports and
// data starts.
func TestServerLeavesNothing(t *testing.T) {
	opts := testOptions(t)
	for range 2 {
		ts := startServer(t, opts)
		listen, relay := ts.listeners[0].Addr().String(), ts.relay
		ts.end()
		opts.listen = []string{listen} // the same once more
		opts.relay.listen = []string{relay.Addrs(turnserver.UDP)[0].String()}
		opts.relay.tlsListen = []string{relay.Addrs(turnserver.TLS)[0].String()}
		opts.relay.dtlsListen = []string{relay.Addrs(turnserver.DTLS)[0].String()}
		if _, err := os.Stat(ts.data.admin()); !os.IsNotExist(err) {
			t.Errorf("the admin socket is still there: %v", err)
		}
	}
}

// A fault in any part leaves no other part open.
func TestFaultLeavesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, spoil := range map[string]func(*serveOptions){
		"listen":      func(o *serveOptions) { o.listen = []string{taken.Addr().String()} },
		"turn-listen": func(o *serveOptions) { o.relay.listen = []string{"203.0.113.1:1"} },
		"cert":        func(o *serveOptions) { o.cert, o.key = "absent", "absent" },
	} {
		good := testOptions(t)
		bad := *good
		spoil(&bad)
		if _, err := openTestApp(t, &bad); exitCode(err) != exitUsage {
			t.Errorf("%s: error %v, exit code %d, want %d", name, err, exitCode(err), exitUsage)
		}
		a, err := openTestApp(t, good)
		if err != nil {
			t.Errorf("%s: the data directory is still in use: %v", name, err)
			continue
		}
		if err := a.close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDemo(t *testing.T) {
	var out, status bytes.Buffer
	if err := runDemo(t.Context(), stdio{in: nil, out: &out, err: &status}); err != nil {
		t.Errorf("demo: %v\n%s", err, &out)
	}
	if status.Len() > 0 {
		t.Errorf("the demo complains: %s", &status)
	}
}

// Both sides send at once, a thousand texts each: all arrive, in order.
func TestChatBothWays(t *testing.T) {
	opts := testOptions(t)
	opts.tls = "off"
	ts := startServer(t, opts)
	texts := func(name string) string {
		var b bytes.Buffer
		for n := range 1000 {
			fmt.Fprintf(&b, "%s %d\n", name, n)
		}
		return b.String()
	}
	heard := func(name string) string {
		var b bytes.Buffer
		for n := range 1000 {
			fmt.Fprintf(&b, "%s: %s %d\n", name, name, n)
		}
		return b.String()
	}
	var out1, out2 bytes.Buffer
	answered := make(chan error, 1)
	callee := ts.signIn("user1")
	go func() {
		in := &lineInput{r: bytes.NewBufferString(texts("user1"))}
		answered <- chatAsCallee(t.Context(), callee, in, &linePrinter{std: stdio{out: &out1, err: io.Discard}})
	}()
	open, end := io.Pipe() // a caller hangs up some time after the end of its input
	in := &lineInput{r: io.MultiReader(bytes.NewBufferString(texts("user2")), open)}
	out := writerFunc(func(text string) {
		if out2.WriteString(text); out2.Len() >= len(heard("user1")) {
			end.Close()
		}
	})
	err := chatAsCaller(t.Context(), ts.signIn("user2"), "user1", in, &linePrinter{std: stdio{out: out, err: io.Discard}})
	if err := errors.Join(err, <-answered); err != nil {
		t.Error(err)
	}
	if out1.String() != heard("user2") || out2.String() != heard("user1") {
		t.Errorf("user1 heard %d bytes, user2 %d: want %d each, in order", out1.Len(), out2.Len(), len(heard("user1")))
	}
}

func (ts *testServer) signIn(name string) *peer.Client {
	ts.t.Helper()
	c, err := peer.Dial(ts.t.Context(), ts.signalURL(), &peer.Config{User: name, Password: demoUsers[name]})
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { c.Close() })
	return c
}
