package signal

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/user"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience ends a test that hangs. No test passes by waiting for it.
const patience = 2 * time.Minute

// passwords is an Authenticator: password1 for user1, and so on.
type passwords struct{}

func (passwords) Authenticate(_ context.Context, name, password string, _ limit.Client) error {
	if n, ok := strings.CutPrefix(name, "user"); ok && password == "password"+n {
		return nil
	}
	return user.ErrBadCredentials
}

type testServer struct {
	*Server
	t    testing.TB
	addr string
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
	stop func() // ends Serve and waits for it
}

func newTestServer(t testing.TB, cfg *Config) *testServer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ts := startServer(t, cfg, l)
	ts.dial = (&net.Dialer{}).DialContext
	return ts
}

// newNarrowServer starts a server whose sockets, and those of its clients, buffer little. A client
// that does not read is noticed soon then, however much the kernel would buffer. It is not pinged.
func newNarrowServer(t *testing.T, cfg *Config) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.neverPing = true
	ts := startServer(t, cfg, narrowListener{l})
	ts.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return nc, nc.(*net.TCPConn).SetReadBuffer(narrow)
	}
	return ts
}

// narrow is the size of a buffer that holds less than two of the longest messages.
const narrow = 64 << 10

type narrowListener struct{ net.Listener }

func (l narrowListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return nc, nc.(*net.TCPConn).SetWriteBuffer(narrow)
}

func startServer(t testing.TB, cfg *Config, l net.Listener) *testServer {
	t.Helper()
	if cfg == nil {
		cfg = &Config{}
	}
	if cfg.Users == nil {
		cfg.Users = passwords{}
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	ts := &testServer{Server: s, t: t, addr: l.Addr().String()}
	ts.stop = func() {
		cancel()
		if err, ok := <-served; ok {
			close(served)
			if err != nil {
				t.Errorf("Serve = %v", err)
			}
		}
	}
	t.Cleanup(ts.stop)
	return ts
}

// client is a WebSocket that speaks raw JSON, as any page would.
type client struct {
	t    testing.TB
	name string
	ws   *websocket.Conn
}

// connect opens a WebSocket and takes the hello.
func (ts *testServer) connect(name string) *client {
	ts.t.Helper()
	c, err := ts.tryConnect(name, nil)
	if err != nil {
		ts.t.Fatalf("%s: connect: %v", name, err)
	}
	c.want(`{"type":"hello","message":"Hello from server"}`)
	return c
}

func (ts *testServer) tryConnect(name string, header http.Header) (*client, error) {
	d := websocket.Dialer{NetDialContext: ts.dial, HandshakeTimeout: patience}
	ws, resp, err := d.Dial("ws://"+ts.addr+"/ws", header)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	ts.t.Cleanup(func() { ws.Close() })
	return &client{ts.t, name, ws}, nil
}

// join is connect and a login as name.
func (ts *testServer) join(name string) *client {
	ts.t.Helper()
	c := ts.connect(name)
	c.send(`{"type":"login","name":"` + name + `","password":"password` + strings.TrimPrefix(name, "user") + `"}`)
	c.want(`{"type":"login","success":true,"name":"` + name + `","room":"lobby","seq":1}`)
	return c
}

// unbounded lets a session send, and a user sign in, as fast as they like.
var unbounded = Rates{fast, fast, fast, fast}

var fast = limit.Rate{PerSecond: 1e9, Burst: 1e9}

// sdpOf is a description that holds a text, and that as a JSON string.
func sdpOf(text string) (sdp, quoted string) {
	sdp = "v=0\ns=" + text + "\n"
	return sdp, `"v=0\ns=` + text + `\n"`
}

func (c *client) send(frame string) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		c.t.Fatalf("%s: send: %v", c.name, err)
	}
}

// trySend is for connections that may be closed.
func (c *client) trySend(frame string) error {
	return c.ws.WriteMessage(websocket.TextMessage, []byte(frame))
}

// read returns the next frame's fields.
func (c *client) read() (fields map[string]any, err error) {
	c.ws.SetReadDeadline(time.Now().Add(patience))
	defer c.ws.SetReadDeadline(time.Time{})
	_, frame, err := c.ws.ReadMessage()
	if err != nil {
		return nil, err
	}
	return fields, json.Unmarshal(frame, &fields)
}

// want reads one frame, which must have the fields of the JSON object; others do
// not matter. It returns the frame.
func (c *client) want(object string) map[string]any {
	c.t.Helper()
	got, err := c.read()
	if err != nil {
		c.t.Fatalf("%s: got %v, want %s", c.name, err, object)
	}
	var want map[string]any
	if err := json.Unmarshal([]byte(object), &want); err != nil {
		c.t.Fatal(err)
	}
	for key, value := range want {
		g, _ := json.Marshal(got[key])
		w, _ := json.Marshal(value)
		if string(g) != string(w) {
			c.t.Fatalf("%s: got %s = %s in %v, want %s", c.name, key, g, got, w)
		}
	}
	return got
}

func (c *client) wantError(code, text string) map[string]any {
	c.t.Helper()
	got := c.want(`{"type":"error","code":"` + code + `"}`)
	if message, _ := got["message"].(string); !strings.Contains(message, text) {
		c.t.Errorf("%s: error says %q, want %q in it", c.name, message, text)
	}
	return got
}

// wantClose reads until the close frame.
func (c *client) wantClose(code int) {
	c.t.Helper()
	for {
		_, err := c.read()
		if err == nil {
			continue
		}
		if !websocket.IsCloseError(err, code) {
			c.t.Fatalf("%s: got %v, want close %d", c.name, err, code)
		}
		return
	}
}

// wantAlive asks something that is always answered.
func (c *client) wantAlive() {
	c.t.Helper()
	c.send(`{"type":"ice","id":"alive"}`)
	c.want(`{"type":"ice","ref":"alive"}`)
}

// memoryListener makes connections inside a synctest bubble.
type memoryListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func newMemoryListener() *memoryListener {
	return &memoryListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *memoryListener) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.done:
		return nil, io.ErrClosedPipe
	}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l *memoryListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }
