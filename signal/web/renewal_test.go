//go:build integration

package web

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// impatient makes the page's pauses between attempts short.
const impatient = `
	const wait = setTimeout;
	window.setTimeout = (then, ms, ...rest) => wait(then, ms === 5000 ? 10 : ms, ...rest);`

// wantExtended lets the session of p end, and waits until the page has extended it:
// it then obeys the permissions that came with that.
func wantExtended(s *fakeServer, p *person) {
	s.t.Helper()
	s.permit(p.name, protocol.PermJoin)
	s.expire(p.name)
	p.wantVisible("idle-mute")
	s.permit(p.name, everything...)
	s.expire(p.name)
	p.wantVisible("idle-ready")
}

func TestSessionIsExtended(t *testing.T) {
	for _, tt := range []struct {
		name      string
		accessTTL time.Duration
		revoke    bool
		logins    int
	}{
		{"access token is still good", 15 * time.Minute, false, 1},
		{"access token is about to expire", 20 * time.Second, false, 3},
		{"access token is revoked", 15 * time.Minute, true, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			s.accessTTL = tt.accessTTL
			alice := signedIn(t, s, "alice")[0]
			if tt.revoke {
				s.revoke()
			}
			wantExtended(s, alice)
			if got := len(s.asked(protocol.PathLogin)); got != tt.logins {
				t.Errorf("the password was sent %d times, want %d", got, tt.logins)
			}
			refreshes := s.sent("alice", "refresh")
			if len(refreshes) != 2 || refreshes[0]["token"] == refreshes[1]["token"] || refreshes[0]["id"] == nil {
				t.Errorf("got %v, want two refreshes, with an id and a token each", refreshes)
			}
		})
	}
}

func TestEachEndIsAnsweredOnce(t *testing.T) {
	s := newFakeServer(t)
	alice := signedIn(t, s, "alice")[0]
	for range 3 {
		s.inject("alice", message{"type": "expiring", "expires": time.Now().Add(time.Second).Unix()})
	}
	for _, nonsense := range []any{nil, "soon", -1, []int{1}} {
		s.inject("alice", message{"type": "expiring", "expires": nonsense})
	}
	s.inject("alice", message{"type": "expiring"})
	alice.waitFor(`performance.getEntriesByType("resource").filter((e) => e.name.endsWith("` + protocol.PathJoin + `")).length >= 2`)
	wantExtended(s, alice)
	if got := len(s.sent("alice", "refresh")); got != 3 {
		t.Errorf("got %d refreshes, want 3: one for the end that came three times, and two since", got)
	}
}

func TestExtensionIsTriedAgain(t *testing.T) {
	for _, path := range []string{protocol.PathLogin, protocol.PathJoin} {
		t.Run(path, func(t *testing.T) {
			s := newFakeServer(t)
			s.accessTTL = time.Second // each extension takes a login and a join
			alice := newPerson(t, s, "alice", impatient)
			alice.signIn("alice-password")
			alice.wantVisible("app")
			var faults atomic.Int32
			s.answer(path, func(w http.ResponseWriter, r *http.Request) {
				switch faults.Add(1) {
				case 1:
					panic(http.ErrAbortHandler) // the connection breaks
				case 2:
					fault(503, protocol.CodeBusy, "", 0)(w, r)
				default:
					s.answer(path, nil)
					fault(429, protocol.CodeRateLimited, "", 1)(w, r)
				}
			})
			wantExtended(s, alice)
			if got := faults.Load(); got != 3 {
				t.Errorf("got %d attempts that failed, want 3", got)
			}
		})
	}
}

func TestSessionThatCannotBeExtended(t *testing.T) {
	for _, tt := range []struct {
		name string
		path string
		h    http.HandlerFunc
		want string
	}{
		{"password was changed", protocol.PathLogin, fault(401, protocol.CodeBadCredentials, "", 0), "Wrong name or password."},
		{"room was closed to them", protocol.PathJoin, fault(403, protocol.CodeForbidden, "", 0), "You are not allowed to join the room lobby."},
		{"refresh is refused", protocol.PathJoin, text(200, `{"token":"made-up"}`), "You are not allowed to do that."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			s.accessTTL = time.Second
			alice := signedIn(t, s, "alice")[0]
			s.answer(tt.path, tt.h)
			s.expire("alice")
			alice.wantText("find-hint", "Your session ends in a minute: "+tt.want)
			s.drop("alice", int(protocol.CloseExpired))
			alice.wantText("signin-error", "Your session has expired and was not extended: "+tt.want)
		})
	}
}

func TestCallOutlivesTheSession(t *testing.T) {
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	s.drop("alice", int(protocol.CloseExpired))
	alice.wantText("banner-text", "Your session has expired. Sign in again to be reachable. Your call goes on without it.")
	alice.say("still here")
	bob.wantHeard("still here")
	bob.say("so am I")
	alice.wantHeard("so am I")
}

// Who has signed out is not signed in again by what was under way.
func TestSignOutEndsTheExtension(t *testing.T) {
	s := newFakeServer(t)
	alice := signedIn(t, s, "alice")[0]
	asked, ended := make(chan struct{}), make(chan struct{})
	s.answer(protocol.PathJoin, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(ended)
	})
	s.expire("alice")
	<-asked
	alice.click("#signout")
	alice.wantVisible("signin")
	<-ended
	if got := s.sent("alice", "refresh"); len(got) > 0 {
		t.Errorf("got %v, want no refresh", got)
	}
}

func TestForgottenTokens(t *testing.T) {
	s := newFakeServer(t)
	p := newPerson(t, s, "module")
	got := eval[string](p, `import("/tokens.js").then(async ({ Tokens }) => {
		const tokens = new Tokens("alice", "alice-password", "lobby");
		await tokens.next();
		tokens.forget();
		return tokens.next().catch((error) => error.message);
	})`)
	if got != "Signed out." || len(s.asked(protocol.PathLogin)) != 1 || len(s.asked(protocol.PathJoin)) != 1 {
		t.Errorf("got %q after forget, and %v asked, want it signed out, and nothing asked since", got, s.requests)
	}
}
