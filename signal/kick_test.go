package signal

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/token"
	"github.com/sigctl/sigctl/pkg/user"
)

// meanwhile is what happens while a login or a request is under way: when its
// password or its name has been checked, and nothing has followed from that yet.
type meanwhile chan func()

// during makes f happen in the next one.
func (m meanwhile) during(f func()) { m <- f }

func (m meanwhile) happens() {
	select {
	case f := <-m:
		f()
	default:
	}
}

type interruptedUsers struct {
	Authenticator
	meanwhile
}

func (u interruptedUsers) Authenticate(ctx context.Context, name, password string) error {
	defer u.happens()
	return u.Authenticator.Authenticate(ctx, name, password)
}

type interruptedNames struct {
	Names
	meanwhile
}

func (n interruptedNames) Get(ctx context.Context, name string) (user.User, error) {
	defer n.happens()
	return n.Names.Get(ctx, name)
}

func newInterruptedServer(t *testing.T) (*accessServer, meanwhile) {
	t.Helper()
	as, m := newAccessServer(t), make(meanwhile, 1)
	as.restartWith(func(cfg *Config) {
		cfg.Users, cfg.Names = interruptedUsers{cfg.Users, m}, interruptedNames{cfg.Names, m}
	})
	return as, m
}

// restartWith is a restart with another configuration, and the same tokens.
func (as *accessServer) restartWith(change func(*Config)) {
	as.t.Helper()
	as.stop()
	cfg := as.cfg
	change(&cfg)
	as.testServer = newTestServer(as.t, &cfg)
}

// kick is what an administrator's kick does.
func (as *accessServer) kick(name string) {
	if err := as.store.Revoke(context.Background(), name, time.Now()); err != nil {
		as.t.Errorf("revoke: %v", err)
	}
	as.Kick(name, "test")
}

// last is the event that was written down last, if there is one since the last look.
func (as *accessServer) last() (e audit.Event) {
	as.t.Helper()
	for _, e = range as.audit.take(as.t) {
	}
	return e
}

// What began before a kick, and was found to be in order before it, is refused after
// it: nobody keeps what the kick was to take away by being slow.
func TestKickEndsWhatIsUnderWay(t *testing.T) {
	as, m := newInterruptedServer(t)
	login := func(frame string) (answer map[string]any, c *client) {
		c = as.connect("slow")
		c.send(frame)
		return c.want(`{"type":"login"}`), c
	}
	password := func(name string) string {
		return `"name":"` + name + `","password":"password` + strings.TrimPrefix(name, "user") + `"`
	}
	for _, tt := range []struct {
		what, user string
		try        func(user, access, room string) map[string]any
		kind       audit.Kind
	}{
		{"login with a password", "user1", func(user, _, _ string) map[string]any {
			answer, _ := login(`{"type":"login",` + password(user) + `}`)
			return answer
		}, audit.Login},
		{"login with a room token", "user2", func(_, _, room string) map[string]any {
			answer, _ := login(`{"type":"login","token":"` + room + `"}`)
			return answer
		}, audit.Login},
		{"POST /api/login", "user3", func(user, _, _ string) map[string]any {
			_, answer := as.do("POST", protocol.PathLogin, "", `{`+password(user)+`}`)
			return answer
		}, audit.Login},
		{"POST /api/rooms/join", "user4", func(_, access, _ string) map[string]any {
			_, answer := as.do("POST", protocol.PathJoin, access, "")
			return answer
		}, audit.TokenRefused},
		{"POST /api/ice", "user5", func(_, _, room string) map[string]any {
			_, answer := as.do("POST", protocol.PathICE, room, "")
			return answer
		}, audit.TokenRefused},
		{"GET /api/validate", "user6", func(_, _, room string) map[string]any {
			_, answer := as.do("GET", protocol.PathValidate, room, "")
			return answer
		}, audit.TokenRefused},
	} {
		access, room := as.access(tt.user), as.roomToken(tt.user, "lobby")
		as.audit.take(t)
		m.during(func() { as.kick(tt.user) })
		if answer := tt.try(tt.user, access, room); answer["code"] != "token_expired" || answer["token"] != nil || answer["iceServers"] != nil {
			t.Errorf("%s, kicked meanwhile: %v, want token_expired", tt.what, answer)
		}
		if len(m) > 0 {
			t.Fatalf("%s: nothing was checked", tt.what)
		}
		if as.hub.find(tt.user) != nil {
			t.Errorf("%s: %s has a session after the kick", tt.what, tt.user)
		}
		if last := as.last(); last.Kind != tt.kind || last.Code != protocol.CodeTokenExpired || last.User != tt.user {
			t.Errorf("%s: audit ends with %+v, want the refusal", tt.what, last)
		}
		if answer, c := login(`{"type":"login",` + password(tt.user) + `}`); answer["success"] != true {
			t.Errorf("%s: a login after the kick is answered with %v", tt.what, answer)
		} else {
			c.wantAlive()
		}
	}
}

// Who signed in with a password has a session without an end, and gets one with a
// token.
func TestRefreshOfASessionWithoutEnd(t *testing.T) {
	as := newAccessServer(t)
	c := as.join("user1")
	text := must2(as.IssueRoomToken(t.Context(), "user1", protocol.Lobby, []string{protocol.PermJoin}, time.Second))
	c.send(`{"type":"refresh","id":"r","token":"` + text + `"}`)
	reply := c.want(`{"type":"login","ref":"r","success":true,"permissions":["join"]}`)
	if notice := c.want(`{"type":"expiring"}`); notice["expires"] == nil || notice["expires"] != reply["expires"] {
		t.Errorf("expiring says %v, the reply said %v", notice["expires"], reply["expires"])
	}
	c.wantClose(int(protocol.CloseExpired))
}

// That a session is about to end is said after the login and the refresh are answered,
// however late.
func TestExpiringComesAfterTheReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := must(user.OpenBolt(filepath.Join(t.TempDir(), "users.db")))
		defer store.Close()
		l := newMemoryListener()
		ts := startServer(t, &Config{
			Names:  store,
			Tokens: must(token.Open(t.Context(), token.FileKeys(filepath.Join(t.TempDir(), "keys.json")), token.NewMemorySpender(), nil)),
			ICEServers: func(string) ([]protocol.ICEServer, time.Time) {
				time.Sleep(time.Nanosecond) // the bubble's clock, not ours
				return nil, time.Time{}
			},
		}, l)
		ts.dial = l.dial
		defer ts.stop()
		brief := func() string {
			return must2(ts.IssueRoomToken(t.Context(), "user1", protocol.Lobby, []string{protocol.PermJoin}, protocol.ExpiryNotice/2))
		}
		c := ts.connect("user1")
		for _, kind := range []string{"login", "refresh"} {
			c.send(`{"type":"` + kind + `","token":"` + brief() + `"}`)
			c.want(`{"type":"login","success":true}`)
			c.want(`{"type":"expiring"}`)
		}
	})
}

// However much a stranger is refused, what is refused to others from the same
// address, and every guess at a password, is written down, and answered as ever.
func TestJunkHidesNothing(t *testing.T) {
	as := newAccessServer(t)
	spent := as.roomToken("user2", "team")
	as.loginWith(spent).want(`{"success":true}`)
	watcher := as.joinRoom("user4", "team")
	for range 150 {
		as.do("GET", protocol.PathJoin, "eyJ.e30.c2ln", "")
	}
	for range 15 {
		c := as.connect("junk")
		for range 10 {
			c.send(`{"type":"login","token":"eyJ.e30.c2ln"}`)
			c.want(`{"type":"login","code":"bad_credentials"}`)
		}
		c.ws.Close()
	}
	as.audit.take(t)

	for range 2 { // the first of a flood would be written in any case
		c := as.connect("guess")
		c.send(`{"type":"login","name":"user1","password":"guess"}`)
		c.want(`{"type":"login","code":"bad_credentials"}`)
		as.loginWith(spent).want(`{"type":"login","code":"token_replayed"}`)
		watcher.send(`{"type":"offer","name":"user2","offer":{"type":"offer","sdp":"v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"}}`)
		watcher.wantError("forbidden", "publish")
	}
	type line struct {
		kind audit.Kind
		code protocol.Code
		user string
	}
	got := map[line]int{}
	for _, e := range as.audit.take(t) {
		got[line{e.Kind, e.Code, e.User}]++
	}
	for _, want := range []line{
		{audit.Login, protocol.CodeBadCredentials, "user1"},
		{audit.TokenReplayed, protocol.CodeTokenReplayed, "user2"},
		{audit.Refused, protocol.CodeForbidden, "user4"},
	} {
		if got[want] != 2 {
			t.Errorf("audit holds %v, want %v twice", got, want)
		}
	}
}

// A guess is written down although the connection closed before the answer.
func TestRefusedWhileClosing(t *testing.T) {
	as, m := newInterruptedServer(t)
	c := as.connect("hasty")
	as.audit.take(t)
	m.during(func() {
		for i := range slots {
			as.conns.each(i, func(c *conn) { c.shutdown(protocol.CloseNotAuthenticated, "no login in time") })
		}
	})
	c.send(`{"type":"login","name":"user1","password":"guess"}`)
	c.wantClose(int(protocol.CloseNotAuthenticated))
	as.stop()
	events := as.audit.take(t)
	if len(events) != 1 || events[0].Kind != audit.Login || events[0].Code != protocol.CodeBadCredentials || events[0].User != "user1" {
		t.Errorf("audit holds %+v, want the refused login", events)
	}
}

// A page has the origin of its scheme too: what came in plain text may be anybody's.
// And who hides the origin does not get past.
func TestForeignPages(t *testing.T) {
	as := newAccessServer(t)
	for _, tt := range []struct {
		name, header, value string
		tls, want           bool
	}{
		{"own page", "Origin", "https://example.com:9090", true, true},
		{"own page in plain text", "Origin", "http://example.com:9090", true, false},
		{"own page behind a proxy", "Origin", "https://example.com:9090", false, true},
		{"own page of a server in plain text", "Origin", "http://example.com:9090", false, true},
		{"another port", "Origin", "https://example.com", true, false},
		{"another site", "Origin", "https://example.org:9090", true, false},
		{"no page", "Sec-Fetch-Site", "", true, true},
		{"typed into the address bar", "Sec-Fetch-Site", "none", true, true},
		{"another site's request without an origin", "Sec-Fetch-Site", "cross-site", true, false},
	} {
		for _, path := range []string{"/ws", protocol.PathLogin, protocol.PathJoin, protocol.PathICE, protocol.PathValidate} {
			r := httptest.NewRequest("POST", "https://example.com:9090"+path, nil)
			if !tt.tls {
				r.TLS = nil
			}
			r.Header.Set(tt.header, tt.value)
			w := httptest.NewRecorder()
			as.http.Handler.ServeHTTP(w, r)
			refused := w.Code == http.StatusForbidden && strings.Contains(w.Body.String(), "origin")
			if refused == tt.want {
				t.Errorf("%s, %s: %d %s, want it let in: %v", tt.name, path, w.Code, w.Body, tt.want)
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); !tt.want && got != "" {
				t.Errorf("%s, %s: the page of %s may read the answer", tt.name, path, got)
			}
		}
	}
}

// full is an audit file whose disk is full from some moment on.
type full struct {
	lines
	now atomic.Bool
}

func (f *full) Write(p []byte) (int, error) {
	if f.now.Load() {
		return 0, errors.New("no space left on device")
	}
	return f.lines.Write(p)
}

// What cannot be written down is not granted. What takes a right away is done all the
// same.
func TestAuditLogThatCannotBeWritten(t *testing.T) {
	as := newAccessServer(t)
	var disk full
	var said lines
	log := audit.New(&disk)
	t.Cleanup(func() { log.Close() })
	as.restartWith(func(cfg *Config) {
		cfg.Audit, cfg.Logger = log, slog.New(slog.NewTextHandler(&said, nil))
	})
	access, room, next := as.access("user1"), as.roomToken("user2", "team"), as.roomToken("user3", "team")
	in := as.joinRoom("user3", "team")
	disk.now.Store(true)

	c := as.connect("user1")
	c.send(`{"type":"login","name":"user1","password":"password1"}`)
	c.want(`{"type":"login","success":false,"code":"internal"}`)
	as.loginWith(room).want(`{"type":"login","success":false,"code":"internal"}`)
	for _, r := range []struct{ path, bearer, body string }{
		{protocol.PathLogin, "", `{"name":"user1","password":"password1"}`},
		{protocol.PathJoin, access, ""},
	} {
		if status, answer := as.do("POST", r.path, r.bearer, r.body); status != 500 || answer["code"] != "internal" || answer["token"] != nil {
			t.Errorf("POST %s = %d %v, want 500 internal", r.path, status, answer)
		}
	}
	in.send(`{"type":"refresh","token":"` + next + `"}`)
	in.want(`{"type":"error","code":"internal"}`)
	if text, _, err := as.IssueRoomToken(t.Context(), "user1", "team", []string{protocol.PermJoin}, time.Minute); err == nil {
		t.Errorf("IssueRoomToken = %q, want an error", text)
	}
	if list := as.List(); len(list) != 1 || list[0].User != "user3" {
		t.Errorf("there are sessions %+v, want that of user3", list)
	}
	as.kick("user3")
	in.wantClose(int(protocol.CloseKicked))
	as.stop()
	said.mu.Lock()
	defer said.mu.Unlock()
	for _, event := range []audit.Kind{audit.Login, audit.TokenIssued, audit.Kick, audit.SessionEnd} {
		if want := `msg="audit record is not written" event=` + string(event) + ` `; !strings.Contains(said.text.String(), want) {
			t.Errorf("the log does not say %s", want)
		}
	}
}

// Each session's end is written down once, with how it ended.
func TestSessionEndIsWrittenDown(t *testing.T) {
	as := newAccessServer(t)
	left, kicked, stays := as.joinRoom("user1", "team"), as.joinRoom("user2", "team"), as.joinRoom("user3", "team")
	as.connect("nobody").ws.Close() // has no session
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := left.ws.WriteMessage(websocket.CloseMessage, bye); err != nil {
		t.Fatal(err)
	}
	left.wantClose(websocket.CloseNormalClosure)
	as.kick("user2")
	kicked.wantClose(int(protocol.CloseKicked))
	stays.wantAlive()
	as.stop()
	began, ended := map[string]string{}, map[string]string{}
	for _, e := range as.audit.take(t) {
		switch {
		case e.Kind == audit.Join:
			began[e.User] = e.Session
		case e.Kind == audit.SessionEnd && (e.Session != began[e.User] || e.Room != "team" || ended[e.User] != ""):
			t.Errorf("audit holds %+v, of session %s, which ended as %q before", e, began[e.User], ended[e.User])
		case e.Kind == audit.SessionEnd:
			ended[e.User] = e.Why
		}
	}
	for name, want := range map[string]string{"user1": "normal", "user2": "kicked", "user3": "draining"} {
		if ended[name] != want {
			t.Errorf("the session of %s ended as %q, want %q", name, ended[name], want)
		}
	}
}
