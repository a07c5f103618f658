package signal

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/protocol"
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

func (u interruptedUsers) Authenticate(ctx context.Context, name, password string, from limit.Client) error {
	defer u.happens()
	return u.Authenticator.Authenticate(ctx, name, password, from)
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
func (as *accessServer) kick(name string) { as.kickDuring(name, func() {}) }

// kickDuring is a kick whose revocation takes until f is done.
func (as *accessServer) kickDuring(name string, f func()) {
	_, err := as.Kick(name, "test", func() error {
		defer f()
		return as.store.Revoke(context.Background(), name, time.Now())
	})
	if err != nil {
		as.t.Errorf("kick: %v", err)
	}
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

// What begins during a kick is refused, too: it may have been checked before the
// revocation, and be dated after it.
func TestRequestDuringAKick(t *testing.T) {
	as := newAccessServer(t)
	access, room := as.access("user1"), as.roomToken("user1", "team")
	as.kickDuring("user1", func() {
		for _, r := range []struct{ path, bearer, body string }{
			{protocol.PathLogin, "", `{"name":"user1","password":"password1"}`}, // stands for one by a password that changes in this moment
			{protocol.PathJoin, access, ""},
			{protocol.PathICE, room, ""},
		} {
			if status, answer := as.do("POST", r.path, r.bearer, r.body); answer["code"] != "token_expired" {
				t.Errorf("POST %s during a kick = %d %v, want token_expired", r.path, status, answer)
			}
		}
		c := as.connect("user1")
		c.send(`{"type":"login","name":"user1","password":"password1"}`)
		c.want(`{"type":"login","success":false,"code":"token_expired"}`)
	})
	as.join("user1").wantAlive()
}

// Who signed in with a password has a session without an end, and gets one with a
// token.
func TestRefreshOfASessionWithoutEnd(t *testing.T) {
	tokenBubble(t, func(ts *testServer, issue issuer) {
		c := ts.join("user1")
		c.send(`{"type":"refresh","id":"r","token":"` + issue("user1", protocol.ExpiryNotice/2) + `"}`)
		reply := c.want(`{"type":"login","ref":"r","success":true,"permissions":["join"]}`)
		if notice := c.want(`{"type":"expiring"}`); notice["expires"] == nil || notice["expires"] != reply["expires"] {
			t.Errorf("expiring says %v, the reply said %v", notice["expires"], reply["expires"])
		}
		c.wantClose(int(protocol.CloseExpired))
	})
}

// That a session is about to end is said after the login and the refresh are answered,
// however late.
func TestExpiringComesAfterTheReply(t *testing.T) {
	tokenBubble(t, func(ts *testServer, issue issuer) {
		c := ts.connect("user1")
		for _, kind := range []string{"login", "refresh"} {
			c.send(`{"type":"` + kind + `","token":"` + issue("user1", protocol.ExpiryNotice/2) + `"}`)
			c.want(`{"type":"login","success":true}`)
			c.want(`{"type":"expiring"}`)
		}
	})
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
