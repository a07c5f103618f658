//go:build integration

package web

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// message is any message of the protocol.
type message = map[string]any

// fakeServer is a signaling server of a few lines beside the real page. It knows
// a handful of people, forwards what they send each other, and can fail as told.
type fakeServer struct {
	*httptest.Server
	t          *testing.T
	iceExpires int64         // set before anyone signs in; Unix seconds, 0 is never
	accessTTL  time.Duration // set before anyone signs in; of access tokens

	mu       sync.Mutex
	conns    map[string]*fakeConn        // guarded by mu; by name
	holds    map[string]bool             // guarded by mu; types that are kept in held
	slow     map[string]int              // guarded by mu; how many more of a type are too fast
	seen     []message                   // guarded by mu; what people sent, with "from"
	permits  map[string][]string         // guarded by mu; by name
	answers  map[string]http.HandlerFunc // guarded by mu; by path
	requests []apiRequest                // guarded by mu
	valid    map[string]fakeToken        // guarded by mu
	issued   []string                    // guarded by mu

	held    chan func() // deliveries that wait for release
	minutes int         // owned by the test; calls of expire
}

type fakeConn struct {
	ws       *websocket.Conn
	name     string // guarded by fakeServer.mu, and so are those below
	room     string
	token    bool // signed in with one
	watching bool // asked who is here
}

func newFakeServer(t *testing.T) *fakeServer {
	t.Helper()
	s := &fakeServer{
		t: t, accessTTL: 15 * time.Minute, held: make(chan func(), 64),
		conns: map[string]*fakeConn{}, holds: map[string]bool{}, slow: map[string]int{}, permits: map[string][]string{},
		answers: map[string]http.HandlerFunc{}, valid: map[string]fakeToken{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", s.serve)
	mux.HandleFunc("/api/", s.serveAPI)
	mux.Handle("/", Handler())
	s.Server = httptest.NewTLSServer(mux) // as in production: wss is another scheme than the page's
	t.Cleanup(s.Close)
	return s
}

// passwords of those who can sign in: the name with "-password" behind it.
func goodPassword(m message) bool { return m["password"] == str(m["name"])+"-password" }

func (s *fakeServer) serve(w http.ResponseWriter, r *http.Request) {
	ws, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	c := &fakeConn{ws: ws}
	s.write(c, message{"type": "hello", "message": "hello", "protocol": "sigctl.v1"})
	for {
		var m message
		if err := ws.ReadJSON(&m); err != nil {
			s.gone(c)
			return
		}
		s.handle(c, m)
	}
}

func (s *fakeServer) handle(c *fakeConn, m message) {
	switch m["type"] {
	case "login":
		s.login(c, m)
	case "peers":
		s.write(c, message{"type": "peers", "ref": m["id"], "peers": s.others(c), "total": len(s.others(c))})
	case "ice":
		s.note(c, m)
		s.write(c, message{"type": "ice", "ref": m["id"], "iceServers": []message{}})
	case "refresh":
		s.refresh(c, m)
	default:
		s.forward(c, m)
	}
}

func (s *fakeServer) login(c *fakeConn, m message) {
	name, room := str(m["name"]), "lobby"
	reply := message{"type": "login", "ref": m["id"], "success": false}
	text, byToken := m["token"].(string)
	known := goodPassword(m)
	if byToken {
		token, err := s.verify("room", text)
		name, room, known = token.name, token.room, err == nil
	}
	s.note(c, m)
	s.mu.Lock()
	switch {
	case !known:
		reply["code"] = "bad_credentials"
	case s.conns[name] != nil:
		reply["code"] = "already_logged_in"
	case room == "full":
		reply["code"], reply["retryAfter"] = "busy", 10
	default:
		c.name, c.room, c.token, s.conns[name] = name, room, byToken, c
	}
	s.mu.Unlock()
	if c.name != "" {
		s.welcome(c, reply)
	}
	s.write(c, reply)
	s.announce(c, "joined")
}

// welcome says what a session has; less, if it began without a token: that is a
// server which knows of none.
func (s *fakeServer) welcome(c *fakeConn, reply message) {
	reply["success"], reply["name"] = true, c.name
	reply["iceServers"], reply["iceExpires"] = []message{}, s.iceExpires
	if !c.token {
		return
	}
	reply["room"], reply["permissions"] = c.room, s.permissionsOf(c.name, c.room)
	reply["expires"] = time.Now().Add(10 * time.Minute).Unix()
	if c.room == "relayed" {
		reply["iceTransportPolicy"] = "relay"
	}
}

func (s *fakeServer) refresh(c *fakeConn, m message) {
	s.note(c, m)
	token, err := s.verify("room", str(m["token"]))
	if err != nil || token.name != c.name || token.room != c.room {
		s.write(c, message{"type": "error", "ref": m["id"], "code": "forbidden", "message": "not your token"})
		return
	}
	reply := message{"type": "login", "ref": m["id"]}
	s.welcome(c, reply)
	s.write(c, reply)
}

// expire tells somebody that the session ends in a minute. Each time it is another
// minute.
func (s *fakeServer) expire(name string) {
	s.t.Helper()
	s.minutes++
	s.inject(name, message{"type": "expiring", "expires": time.Now().Add(time.Duration(s.minutes) * time.Minute).Unix()})
}

func (s *fakeServer) forward(c *fakeConn, m message) {
	kind := str(m["type"])
	s.mu.Lock()
	to, held := s.conns[str(m["name"])], s.holds[kind]
	slow := s.slow[kind] > 0
	code := "rate_limited"
	if slow {
		if s.slow[kind]--; s.slow[kind]%2 == 0 {
			code = "busy" // the other side does not read fast enough
		}
	}
	s.mu.Unlock()
	s.note(c, m)
	if slow {
		s.write(c, message{"type": "error", "code": code, "retryAfter": 1, "ref": m["id"], "name": m["name"], "call": m["call"]})
		return
	}
	if to == nil || to.room != c.room {
		s.write(c, message{"type": "error", "code": "peer_offline", "ref": m["id"], "name": m["name"], "call": m["call"]})
		return
	}
	delete(m, "id")
	m["name"] = c.name
	if (kind == "offer" || kind == "answer") && c.token {
		m["permissions"] = s.permissionsOf(c.name, c.room)
	}
	if held {
		s.held <- func() { s.write(to, m) }
		return
	}
	s.write(to, m)
}

// note keeps what c sent for the test to ask for.
func (s *fakeServer) note(c *fakeConn, m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := maps.Clone(m)
	seen["from"] = c.name
	s.seen = append(s.seen, seen)
}

// others returns who else is here, and tells c from now on.
func (s *fakeServer) others(c *fakeConn) []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.watching = true
	list := []message{}
	for name, other := range s.conns {
		if name != c.name && other.room == c.room {
			list = append(list, message{"name": name})
		}
	}
	return list
}

func (s *fakeServer) gone(c *fakeConn) {
	s.mu.Lock()
	known := s.conns[c.name] == c
	if known {
		delete(s.conns, c.name)
	}
	s.mu.Unlock()
	if known {
		s.announce(c, "left")
	}
}

func (s *fakeServer) announce(c *fakeConn, kind string) {
	s.mu.Lock()
	var to []*fakeConn
	for _, other := range s.conns {
		if other != c && other.watching && c.name != "" && other.room == c.room {
			to = append(to, other)
		}
	}
	s.mu.Unlock()
	for _, other := range to {
		s.write(other, message{"type": kind, "name": c.name, "room": c.room})
	}
}

// write is the one place that writes: gorilla wants one writer at a time.
func (s *fakeServer) write(c *fakeConn, m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.ws != nil {
		_ = c.ws.WriteJSON(m) // who is gone is seen by its reader
	}
}

// join puts people into the lobby who do nothing.
func (s *fakeServer) join(names ...string) { s.joinRoom("lobby", names...) }

func (s *fakeServer) joinRoom(room string, names ...string) {
	for _, name := range names {
		c := &fakeConn{name: name, room: room}
		s.mu.Lock()
		s.conns[name] = c
		s.mu.Unlock()
		s.announce(c, "joined")
	}
}

// slowDown says of the next n messages of a type that they came too fast.
func (s *fakeServer) slowDown(kind string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow[kind] = n
}

// inject sends name a message as if another client had.
func (s *fakeServer) inject(name string, m message) {
	s.t.Helper()
	s.mu.Lock()
	c := s.conns[name]
	s.mu.Unlock()
	if c == nil {
		s.t.Fatalf("inject: %s is not signed in", name)
	}
	s.write(c, m)
}

// hold keeps messages of these types until release.
func (s *fakeServer) hold(types ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kind := range types {
		s.holds[kind] = true
	}
}

// release delivers n held messages, once that many are there, and holds no more.
func (s *fakeServer) release(n int) { s.releaseAfter(n, func() {}) }

// releaseAfter does the same, and looks at how things are just before.
func (s *fakeServer) releaseAfter(n int, look func()) {
	deliveries := make([]func(), n)
	for i := range deliveries {
		deliveries[i] = <-s.held
	}
	look()
	s.mu.Lock()
	clear(s.holds)
	s.mu.Unlock()
	for _, deliver := range deliveries {
		deliver()
	}
}

// drop closes the connection of name with a close code.
func (s *fakeServer) drop(name string, code int) {
	s.mu.Lock()
	c := s.conns[name]
	s.mu.Unlock()
	s.gone(c) // at once: the name is free before anyone knows
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Minute))
}

// sent returns what from has sent of one type.
func (s *fakeServer) sent(from, kind string) []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []message
	for _, m := range s.seen {
		if m["from"] == from && m["type"] == kind {
			found = append(found, m)
		}
	}
	return found
}

func str(v any) string { text, _ := v.(string); return text }
