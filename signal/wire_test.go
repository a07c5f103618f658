package signal

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// raw writes bytes below the WebSocket library.
func (c *client) raw(b ...byte) {
	c.t.Helper()
	if _, err := c.ws.NetConn().Write(b); err != nil {
		c.t.Fatalf("%s: %v", c.name, err)
	}
}

// frame returns a client's frame with a mask of zeros.
func frame(b0 byte, payload string) []byte {
	f := []byte{b0, 0x80 | byte(len(payload))}
	if len(payload) > 125 {
		f = binary.BigEndian.AppendUint16([]byte{b0, 0x80 | 126}, uint16(len(payload)))
	}
	return append(append(f, 0, 0, 0, 0), payload...)
}

func TestMessagesInPieces(t *testing.T) {
	c := newTestServer(t, nil).join("user1")
	ponged := make(chan string, 1)
	c.ws.SetPongHandler(func(payload string) error { ponged <- payload; return nil })
	wantPong := func(want string) {
		t.Helper()
		for tries := 0; len(ponged) == 0 && tries < 100; tries++ { // it may come after an answer
			c.wantAlive()
		}
		select {
		case got := <-ponged:
			if got != want {
				t.Errorf("pong %q, want %q", got, want)
			}
		default:
			t.Fatalf("no pong for %q", want)
		}
	}
	c.raw(frame(0x89, "between")...)
	wantPong("between")
	c.raw(frame(0x01, `{"type":"ice",`)...)
	c.raw(frame(0x89, "within")...)
	for _, b := range frame(0x80, `"id":"7"}`) {
		c.raw(b)
	}
	c.want(`{"type":"ice","ref":"7"}`)
	wantPong("within")
}

func TestWSS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			config, pool := testTLS(t)
			ts := newTestServer(t, &Config{TLS: config})
			plain := ts.dial
			ts.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := plain(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				return tls.Client(nc, &tls.Config{RootCAs: pool, ServerName: "localhost", MaxVersion: version}), nil
			}
			a, b := ts.join("user1"), ts.join("user2")
			sdp, quoted := sdpOf(strings.Repeat("x", 40<<10)) // several TLS records
			for range 3 {
				a.send(`{"type":"offer","name":"user2","offer":{"type":"offer","sdp":` + quoted + `}}`)
				got := b.want(`{"type":"offer","name":"user1"}`)
				if text := got["offer"].(map[string]any)["sdp"]; text != sdp {
					t.Fatal("the offer came damaged")
				}
				a.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience))
				a.wantAlive()
			}
		})
	}
}

// The library answers a broken frame from the reader's goroutine, while others
// write to the same connection.
func TestBrokenFrameWhileOthersWrite(t *testing.T) {
	ts := newTestServer(t, &Config{Rates: unbounded})
	bad, sender := ts.join("user1"), ts.join("user2")
	for i := range 40 {
		if i == 20 {
			bad.raw(0x83, 0x80, 1, 2, 3, 4) // no such opcode
		}
		sender.send(`{"type":"offer","name":"user1","offer":{"type":"offer","sdp":"v=0\r\n"}}`)
	}
	bad.wantClose(websocket.CloseProtocolError)
}

// What a client may send must fit in what another may receive.
func TestForwardedFramesKeepTheLimit(t *testing.T) {
	ts := newTestServer(t, nil)
	a, b := ts.join("user1"), ts.join("user2")
	offer := func(text string) string {
		_, quoted := sdpOf("x" + text)
		return `{"type":"offer","name":"user2","offer":{"type":"offer","sdp":` + quoted + `}}`
	}
	a.send(offer(strings.Repeat("<", 60_000)))
	b.want(`{"type":"offer"}`)
	a.send(offer(strings.Repeat("x", protocol.MaxFrame-len(offer("")))))
	a.wantError("too_large", "too large to be carried")
	b.wantAlive()
}

func TestLargeFrameBeforeLogin(t *testing.T) {
	c := newTestServer(t, nil).connect("stranger")
	c.send(`{"type":"` + strings.Repeat("x", protocol.MaxLoginFrame) + `"}`)
	c.wantClose(int(protocol.CloseTooLarge))
}

// A connection that ends inside a frame is lost, whatever the library makes of it.
func TestEndInsideAFrame(t *testing.T) {
	ts := newTestServer(t, nil)
	watcher, c := ts.join("user1"), ts.join("user2")
	watcher.send(`{"type":"peers"}`)
	watcher.want(`{"type":"peers"}`)
	c.raw(0x81, 0x85, 0, 0, 0, 0, '{')
	c.ws.NetConn().Close()
	watcher.want(`{"type":"left","name":"user2","reason":"lost"}`)
}

// After a shutdown the rest of a message is not taken for frames: the client's
// close frame is seen, and the farewell takes no second.
func TestFarewellAfterOddPayload(t *testing.T) {
	bubble(t, func(ts *testServer) {
		c := ts.join("user1")
		start := time.Now()
		payload := string(bytes.Repeat(frame(0x89, ""), 20))
		if err := c.ws.WriteMessage(websocket.BinaryMessage, []byte(payload)); err != nil {
			t.Fatal(err)
		}
		c.wantClose(int(protocol.CloseBinary))
		synctest.Wait()
		if got := ts.Stats().Connections; got != 0 || time.Since(start) >= closeTimeout {
			t.Errorf("%d connections after %v", got, time.Since(start))
		}
	})
}

func TestCallingOneself(t *testing.T) {
	ts := newTestServer(t, nil)
	a, b := ts.join("user1"), ts.join("user2")
	a.send(`{"type":"offer","name":"user1","offer":{"type":"offer","sdp":"v=0\r\n"}}`)
	a.wantError("peer_offline", "your own name")
	a.send(`{"type":"offer","name":"user2","offer":{"type":"offer","sdp":"v=0\r\n"}}`)
	b.want(`{"type":"offer"}`)
	a.send(`{"type":"leave"}`)
	b.want(`{"type":"leave","name":"user1"}`)
}

func TestOldestCallIsForgotten(t *testing.T) {
	var cs calls
	for i := range maxCallsPerParty + 1 {
		cs.touch("bob", string(rune('a'+i)))
	}
	if cs.index("bob", "a") >= 0 || len(cs) != maxCallsPerParty {
		t.Errorf("%d calls with bob are remembered, the first: %v", len(cs), cs.index("bob", "a") >= 0)
	}
	for i := range 2 * maxCalls {
		cs.touch(strings.Repeat("x", i+1), "")
	}
	if len(cs) != maxCalls {
		t.Errorf("%d calls are remembered, want %d", len(cs), maxCalls)
	}
}

// authenticator is an Authenticator made of a function.
type authenticator func(ctx context.Context) error

func (f authenticator) Authenticate(ctx context.Context, _, _ string, _ limit.Client) error {
	return f(ctx)
}

// While a password waits to be checked the client's pongs wait, too.
func TestSlowLoginIsNoPingTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		slow := authenticator(func(context.Context) error { time.Sleep(time.Minute); return nil }) // of the bubble's clock
		ts := startServer(t, &Config{Users: slow}, l)
		ts.dial = l.dial
		c := ts.connect("a")
		c.ws.SetPingHandler(func(string) error { return nil }) // a pipe has no room for what is not read
		c.send(`{"type":"login","name":"user1","password":"x"}`)
		if _, frame, err := c.ws.ReadMessage(); err != nil || !strings.Contains(string(frame), `"success":true`) {
			t.Errorf("login = %s, %v", frame, err)
		}
		ts.stop()
	})
}

func TestPanicEndsOneConnection(t *testing.T) {
	ts := newTestServer(t, &Config{Users: authenticator(func(context.Context) error { panic("boom") })})
	c := ts.connect("a")
	c.send(`{"type":"login","name":"user1","password":"x"}`)
	c.wantClose(int(protocol.CloseInternal))
	ts.connect("b")
}

// Of two logins that take one name over, the later has it, and is in the room.
func TestTakeoversInAnyOrder(t *testing.T) {
	h := newHub()
	stale := func() *session {
		c := &conn{server: &Server{}, sock: &socket{}}
		c.out.beat.sent, c.out.numbered, c.out.writing = time.Now().Add(-time.Hour), true, true
		return &session{conn: c, name: "user1"}
	}
	second, third := stale(), stale()
	lobby := grant{room: protocol.Lobby}
	if err := errors.Join(h.claim(second, lobby, time.Now()), h.claim(third, lobby, time.Now())); err != nil {
		t.Fatalf("a stale session was not taken over: %v", err)
	}
	h.enter(third, "", protocol.LoginReply{Success: true})
	h.enter(second, "", protocol.LoginReply{Success: true})
	if h.rooms[protocol.Lobby].members["user1"] != third {
		t.Error("the session that was replaced is in the room")
	}
	for _, s := range []*session{second, third} {
		if s.conn.out.cut != nil {
			s.conn.out.cut.Stop()
		}
	}
}
