package peer

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/sigctl/sigctl/pkg/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeServer is a signaling server in as few lines as the peer needs: everybody
// whose password is "password" gets in, and messages go where they are meant to.
type fakeServer struct {
	t    testing.TB // nil in an example
	http *httptest.Server
	api  *fakeAPI
	ice  []protocol.ICEServer

	// grant changes the answer to a login or refresh.
	grant func(*protocol.LoginReply)

	// tamper sees, and may change or with nil drop, what is carried from one to another.
	tamper func(from, to string, m protocol.Forwarded) protocol.Forwarded

	// redirect changes, as a man in the middle, who gets what and who it seems to be
	// from.
	redirect func(from, to string) (newFrom, newTo string)

	// refresh answers a refresh; nil means as admit says.
	refresh func(protocol.Refresh) protocol.FromServer

	mute bool // never says anything

	mu    sync.Mutex
	conns map[string]*fakeConn
	all   sync.WaitGroup
}

type fakeConn struct {
	ws   *websocket.Conn
	cert string // the name in the client certificate
	mu   sync.Mutex
}

func newFakeServer(t testing.TB, options ...func(*httptest.Server)) *fakeServer {
	s := startFakeServer(options...)
	s.t = t
	t.Cleanup(s.close)
	return s
}

func startFakeServer(options ...func(*httptest.Server)) *fakeServer {
	s := &fakeServer{conns: map[string]*fakeConn{}, api: newFakeAPI()}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	for _, option := range options {
		option(s.http)
	}
	if s.http.TLS != nil {
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	return s
}

func (s *fakeServer) close() {
	s.http.Close()
	for _, name := range s.names() {
		s.drop(name)
	}
	s.all.Wait()
}

func (s *fakeServer) url() string { return "ws" + strings.TrimPrefix(s.http.URL, "http") }

func (s *fakeServer) names() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.conns {
		names = append(names, name)
	}
	return names
}

// drop cuts a user's connection, as a failing network does.
func (s *fakeServer) drop(name string) {
	if c := s.conn(name); c != nil {
		c.ws.NetConn().Close()
	}
}

func (s *fakeServer) conn(name string) *fakeConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[name]
}

func (s *fakeServer) serve(w http.ResponseWriter, r *http.Request) {
	s.all.Add(1)
	defer s.all.Done()
	if strings.HasPrefix(r.URL.Path, "/api/") {
		s.api.ServeHTTP(w, r)
		return
	}
	up := websocket.Upgrader{Subprotocols: []string{protocol.Subprotocol}}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	c := &fakeConn{ws: ws}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		c.cert = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	if s.mute {
		ws.ReadMessage()
		return
	}
	c.send("", protocol.Hello{Message: "Hello from server", Protocol: protocol.Subprotocol})
	var name string
	defer func() { s.gone(name, c) }()
	for {
		_, frame, err := ws.ReadMessage()
		if err != nil {
			return
		}
		req, err := protocol.DecodeClient(frame)
		if err != nil {
			s.t.Errorf("client sent %s: %v", frame, err)
			continue
		}
		if m, ok := req.Message.(protocol.Login); ok {
			name = s.login(c, req.ID, m)
			continue
		}
		s.handle(name, c, req)
	}
}

func (s *fakeServer) handle(from string, c *fakeConn, req protocol.Request) {
	switch m := req.Message.(type) {
	case protocol.Peers:
		var list protocol.PeerList
		for _, name := range s.names() {
			if name != from {
				list.Peers = append(list.Peers, protocol.Peer{Name: name})
			}
		}
		c.send(req.ID, list)
	case protocol.ICE:
		c.send(req.ID, protocol.ICEServers{ICEServers: []protocol.ICEServer{{URLs: []string{"stun:127.0.0.1:9"}, Username: "fresh"}}})
	case protocol.Refresh:
		c.send(req.ID, s.renew(c, m))
	case protocol.Forwarded:
		s.forward(from, c, req.ID, m)
	}
}

func (s *fakeServer) forward(from string, c *fakeConn, id string, m protocol.Forwarded) {
	to, call := m.Party()
	if s.tamper != nil {
		if m = s.tamper(from, to, m); m == nil {
			return
		}
	}
	if s.redirect != nil {
		from, to = s.redirect(from, to)
	}
	s.mu.Lock()
	target := s.conns[to]
	s.mu.Unlock()
	if target == nil {
		c.send(id, protocol.Error{Code: protocol.CodePeerOffline, Message: to + " is not here", Name: to, Call: call})
		return
	}
	target.send("", m.From(from, nil))
}

func (s *fakeServer) gone(name string, c *fakeConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[name] != c {
		return
	}
	delete(s.conns, name)
	for _, other := range s.conns {
		other.send("", protocol.Leave{Name: name, Reason: protocol.ReasonDisconnected})
		other.send("", protocol.Left{Name: name, Room: protocol.Lobby})
	}
}

func (c *fakeConn) send(ref string, m protocol.FromServer) {
	frame, err := protocol.EncodeServer(ref, m)
	if err != nil {
		panic(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ws.WriteMessage(websocket.TextMessage, frame)
}

// testContext bounds a test that hangs; nothing waits for its end.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func (s *fakeServer) join(name string, options ...func(*Config)) *Client {
	s.t.Helper()
	cfg := &Config{User: name, Password: "password"}
	for _, option := range options {
		option(cfg)
	}
	c, err := Dial(testContext(s.t), s.url(), cfg)
	if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// connect has a call b, and returns both ends.
func connect(t testing.TB, a, b *Client) (caller, callee *Call) {
	t.Helper()
	ctx := testContext(t)
	accepted := make(chan *Call, 1)
	go func() {
		call, err := b.Accept(ctx)
		if err != nil {
			t.Errorf("%s accepts: %v", b.User(), err)
		}
		accepted <- call
	}()
	caller, err := a.Call(ctx, b.User())
	if err != nil {
		t.Fatal(err)
	}
	if callee = <-accepted; callee == nil {
		t.FailNow()
	}
	return caller, callee
}

func say(t testing.TB, from *Call, text string) {
	t.Helper()
	if err := from.Send(testContext(t), text); err != nil {
		t.Fatal(err)
	}
}

func wantText(t testing.TB, to *Call, want string) {
	t.Helper()
	got, err := to.Recv(testContext(t))
	if err != nil || got != want {
		t.Fatalf("received %q, %v, want %q", got, err, want)
	}
}

// wantChat sends a text each way and waits until both are taken.
func wantChat(t testing.TB, a, b *Call) {
	t.Helper()
	say(t, a, "from "+a.client.User())
	say(t, b, "from "+b.client.User())
	wantText(t, b, "from "+a.client.User())
	wantText(t, a, "from "+b.client.User())
	for _, call := range []*Call{a, b} {
		if err := call.Flush(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// candidatesIn returns the candidate lines that a message carries.
func candidatesIn(m protocol.Forwarded) (lines []string) {
	sdp := ""
	switch m := m.(type) {
	case protocol.Offer:
		sdp = m.Offer.SDP
	case protocol.Answer:
		sdp = m.Answer.SDP
	case protocol.Candidate:
		if m.Candidate != nil {
			lines = append(lines, m.Candidate.Candidate)
		}
	case protocol.Candidates:
		for _, c := range m.Candidates {
			if c != nil {
				lines = append(lines, c.Candidate)
			}
		}
	}
	for line := range strings.Lines(sdp) {
		if rest, ok := strings.CutPrefix(line, "a=candidate:"); ok {
			lines = append(lines, rest)
		}
	}
	return lines
}

func candidateType(line string) string {
	_, after, _ := strings.Cut(line, " typ ")
	kind, _, _ := strings.Cut(after, " ")
	return strings.TrimSpace(kind)
}

// bareSocket signs in with nothing but a WebSocket.
func (s *fakeServer) bareSocket(name string) *socket {
	s.t.Helper()
	cfg, target, err := (&Config{User: name, Password: "password"}).withDefaults(s.url())
	if err != nil {
		s.t.Fatal(err)
	}
	sock, err := dialSocket(testContext(s.t), target, &cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := login(testContext(s.t), sock, protocol.Login{Name: name, Password: "password"}); err != nil {
		s.t.Fatal(err)
	}
	return sock
}

func withoutCandidates(sdp string) string {
	var out strings.Builder
	for line := range strings.Lines(sdp) {
		if !strings.HasPrefix(line, "a=candidate:") {
			out.WriteString(line)
		}
	}
	return out.String()
}
