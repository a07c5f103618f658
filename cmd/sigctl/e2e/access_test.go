//go:build integration

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// client is a program at an address of its own that uses the HTTP API and the
// WebSocket. As a tutorialClient, it knows none of our packages.
type client struct {
	t    *testing.T
	s    *server
	addr string // of loopback
	tls  *tls.Config
	http *http.Client
}

// from returns a client at an address of loopback, which may have a certificate.
func (s *server) from(t *testing.T, addr string, certificates ...tls.Certificate) *client {
	t.Helper()
	c := &client{t: t, s: s, addr: addr, tls: s.trust()}
	c.tls.Certificates = certificates
	c.tls.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	c.http = &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: c.tls, DialContext: c.connect}}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

// local is a client like any other.
func (s *server) local(t *testing.T) *client {
	t.Helper()
	return s.from(t, "127.0.0.1")
}

func (c *client) connect(ctx context.Context, network, _ string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(c.addr)}}
	return dialer.DialContext(ctx, network, c.s.addr())
}

// ask sends a request and returns its answer. A nil body is none.
func (c *client) ask(method, path, bearer string, body message) (status int, answer message) {
	c.t.Helper()
	status, answer, err := c.tryAsk(method, path, bearer, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return status, answer
}

func (c *client) tryAsk(method, path, bearer string, body message) (status int, answer message, err error) {
	var text []byte
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	base := strings.Replace(c.s.url, "ws", "http", 1) // wss too
	req, err := http.NewRequest(method, strings.TrimSuffix(base, "/")+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if text, err = io.ReadAll(resp.Body); err != nil {
		return 0, nil, err
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, nil, fmt.Errorf("%s is not JSON: %w", text, err)
	}
	return resp.StatusCode, answer, nil
}

// wantCode checks that a request is refused, and how.
func (c *client) wantCode(code, method, path, bearer string, body message) (answer message) {
	c.t.Helper()
	status, answer := c.ask(method, path, bearer, body)
	if status < 400 || answer["code"] != code {
		c.t.Errorf("%s %s: %d %v, want it refused with %s", method, path, status, answer, code)
	}
	return answer
}

// want checks that a request is granted, and returns the answer.
func (c *client) want(method, path, bearer string, body message) (answer message) {
	c.t.Helper()
	status, answer := c.ask(method, path, bearer, body)
	if status != http.StatusOK {
		c.t.Fatalf("%s %s: %d %v, want 200", method, path, status, answer)
	}
	return answer
}

// accessToken signs a user of the server in over HTTP.
func (c *client) accessToken(user string) string {
	c.t.Helper()
	return text(c.want("POST", "/api/login", "", message{"name": user, "password": c.s.passwords[user]}), "token")
}

// roomToken joins a room, by an access token or an outside issuer's.
func (c *client) roomToken(bearer, room string) string {
	c.t.Helper()
	return text(c.want("POST", "/api/rooms/join", bearer, message{"room": room}), "token")
}

// turnCredential is the user name and password that an answer has for the relay.
func turnCredential(answer message) (name, password string) {
	servers, _ := answer["iceServers"].([]any)
	for _, s := range servers {
		if s, ok := s.(message); ok && s["credential"] != nil {
			return text(s, "username"), text(s, "credential")
		}
	}
	return "", ""
}

func text(m message, field string) string {
	s, _ := m[field].(string)
	return s
}

// dial opens a WebSocket.
func (c *client) dial() *tutorialClient {
	c.t.Helper()
	ws, err := c.tryDial()
	if err != nil {
		c.t.Fatalf("connect to %s from %s: %v", c.s.url, c.addr, err)
	}
	return ws
}

func (c *client) tryDial() (*tutorialClient, error) {
	ws, _, err := c.dialer().Dial(c.s.url, nil)
	if err != nil {
		return nil, err
	}
	return newTutorialClient(c.t, ws), nil
}

func (c *client) dialer() *websocket.Dialer {
	return &websocket.Dialer{TLSClientConfig: c.tls, HandshakeTimeout: patience, NetDialContext: c.connect}
}

// signIn opens a session with what login says, and returns it with the reply.
func (c *client) signIn(login message) (*tutorialClient, message) {
	c.t.Helper()
	ws := c.dial()
	reply := ws.tryLogin(login)
	if reply["success"] != true {
		c.t.Fatalf("login with %v: %v, want success", keys(login), reply)
	}
	return ws, reply
}

// wantRefused checks that a login is refused, and how.
func (c *client) wantRefused(code string, login message) {
	c.t.Helper()
	ws := c.dial()
	defer ws.Close()
	if reply := ws.tryLogin(login); reply["success"] != false || reply["code"] != code {
		c.t.Errorf("login with %v: %v, want it refused with %s", keys(login), reply, code)
	}
}

func (c *tutorialClient) tryLogin(login message) message {
	c.t.Helper()
	login["type"] = "login"
	c.send(login)
	return c.want("login")
}

// wantAlive checks that the session is there, and answers.
func (c *tutorialClient) wantAlive() {
	c.t.Helper()
	c.send(message{"type": "ice"})
	c.want("ice")
}

// wantClose reads until the server closes, and checks how.
func (c *tutorialClient) wantClose(code int) {
	c.t.Helper()
	if got, err := c.closeCode(); got != code {
		c.t.Errorf("closed with %d (%v), want %d", got, err, code)
	}
}

// keys are the fields of a message, without what is secret in it.
func keys(m message) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	return names
}

// keyID is the id of the key that signed a token.
func keyID(t *testing.T, token string) string {
	t.Helper()
	return text(part(t, token, 0), "kid")
}

// isPast reports whether the second of which a token is dated is over. One of the
// second in which its user was made is dated a second later.
func isPast(t *testing.T, token string) bool {
	t.Helper()
	issued, _ := part(t, token, 1)["iat"].(float64)
	return time.Now().Unix() > int64(issued)
}

// part decodes the header or the claims of a token, without a look at its signature.
func part(t *testing.T, token string, n int) (m message) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no token", token)
	}
	decoded, err := base64.RawURLEncoding.DecodeString(parts[n])
	if err == nil {
		err = json.Unmarshal(decoded, &m)
	}
	if err != nil {
		t.Fatalf("part %d of a token: %v", n, err)
	}
	return m
}
