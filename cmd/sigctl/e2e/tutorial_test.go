//go:build integration

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// message is any message of the protocol.
type message = map[string]any

// tutorialClient is a client as a WebRTC tutorial writes it: JSON over a
// WebSocket. It knows none of our packages, and ignores what it does not know. It
// reads all the time, as a page does, and so answers pings.
type tutorialClient struct {
	t *testing.T
	*websocket.Conn
	messages chan message // closed when the connection has ended
	err      error        // set before messages is closed: why
}

// newTutorialClient returns a client that reads until the test ends.
func newTutorialClient(t *testing.T, ws *websocket.Conn) *tutorialClient {
	c := &tutorialClient{t: t, Conn: ws, messages: make(chan message, 1000)}
	go c.read()
	t.Cleanup(func() {
		ws.Close()
		for range c.messages {
		}
	})
	return c
}

func (c *tutorialClient) read() {
	defer close(c.messages)
	for {
		var m message
		if c.err = c.ReadJSON(&m); c.err != nil {
			return
		}
		c.messages <- m
	}
}

func (s *server) dial(t *testing.T) *tutorialClient {
	t.Helper()
	return newTutorialClient(t, s.dialSocket(t))
}

// dialSocket opens a WebSocket that nobody reads.
func (s *server) dialSocket(t *testing.T) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{TLSClientConfig: s.trust(), HandshakeTimeout: patience}
	ws, _, err := dialer.Dial(s.url, nil)
	if err != nil {
		t.Fatalf("connect to %s: %v", s.url, err)
	}
	t.Cleanup(func() { ws.Close() })
	return ws
}

func (c *tutorialClient) send(m message) {
	c.t.Helper()
	if err := c.WriteJSON(m); err != nil {
		c.t.Fatal(err)
	}
}

// want returns the next message of a type.
func (c *tutorialClient) want(kind string) message {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case m, ok := <-c.messages:
			if !ok {
				c.t.Fatalf("waited for %s: %v", kind, c.err)
			}
			if m["type"] == kind {
				return m
			}
		case <-timeout:
			c.t.Fatalf("waited for %s: nothing in %v", kind, patience)
		}
	}
}

// wantError checks the text of the next error: it is all that a tutorial client
// shows.
func (c *tutorialClient) wantError(text string) {
	c.t.Helper()
	if m := c.want("error"); m["message"] != text {
		c.t.Errorf("error %q, want %q", m["message"], text)
	}
}

// login checks whether the login succeeds.
func (c *tutorialClient) login(name, password string, want bool) {
	c.t.Helper()
	c.send(message{"type": "login", "name": name, "password": password})
	if m := c.want("login"); m["success"] != want {
		c.t.Errorf("login of %s: %v, want success %v", name, m, want)
	}
}

// closeCode waits until the server closes.
func (c *tutorialClient) closeCode() (int, error) {
	timeout := time.After(patience)
	for {
		select {
		case _, ok := <-c.messages:
			if !ok {
				return codeOf(c.err)
			}
		case <-timeout:
			return 0, fmt.Errorf("open after %v", patience)
		}
	}
}

// codeOf returns the code of a close frame, or the error that came instead.
func codeOf(err error) (int, error) {
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		return closed.Code, nil
	}
	return 0, err
}

func TestTutorialClient(t *testing.T) {
	t.Parallel()
	s := startServe(t, "--demo")
	user1, user2, late := s.dial(t), s.dial(t), s.dial(t)

	answer := message{"type": "answer", "sdp": "v=0\r\n"}
	offer := message{"type": "offer", "sdp": "v=0\r\n"}
	user1.send(message{"type": "offer", "name": "user2", "offer": offer})
	user1.wantError("You are not authenticated")
	user1.login("user1", "wrong", false)
	user1.login("user1", "password1", true)
	user2.login("user2", "password2", true)
	late.login("user2", "password2", false)

	user1.send(message{"type": "offer", "name": "user2", "offer": offer})
	user2.wantFrom("user1", "offer", offer)
	user2.send(message{"type": "answer", "name": "user1", "answer": answer})
	user1.wantFrom("user2", "answer", answer)
	candidate := message{"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0.0}
	user1.send(message{"type": "candidate", "name": "user2", "candidate": candidate})
	user2.wantFrom("user1", "candidate", candidate)
	user2.send(message{"type": "leave", "name": "user1"})
	user1.want("leave")

	user1.send(message{"type": "dance"})
	user1.wantError("Command not found: dance")

	user1.send(message{"type": "offer", "name": "user2", "offer": offer})
	user2.want("offer")
	user1.NetConn().Close() // dies without a word
	user2.want("leave")
	again := s.dial(t)
	again.login("user1", "password1", true) // the name is free again
}

// wantFrom checks the next message of a type, and who it is from.
func (c *tutorialClient) wantFrom(name, kind string, body message) {
	c.t.Helper()
	m := c.want(kind)
	got, err1 := json.Marshal(m[kind])
	want, err2 := json.Marshal(body)
	if err := errors.Join(err1, err2); err != nil {
		c.t.Fatal(err)
	}
	if m["name"] != name || string(got) != string(want) {
		c.t.Errorf("%s %s from %v, want %s from %s", kind, got, m["name"], want, name)
	}
}
