//go:build integration

package web

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/signal/web/webtest"
)

// wantExtended lets the session of p end, and waits until the page has extended it:
// it then obeys the permissions that came with that.
func wantExtended(s *fakeServer, p *webtest.Person) {
	s.t.Helper()
	s.permit(p.Name, protocol.PermJoin)
	s.expire(p.Name)
	p.WantVisible("#idle-mute")
	s.permit(p.Name, everything...)
	s.expire(p.Name)
	p.WantVisible("#idle-ready")
}

func TestSessionIsExtended(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	p := newPerson(t, newFakeServer(t), "module")
	got := webtest.Eval[int](p, `import("/renewal.js").then(async ({ Renewal }) => {
		let attempts = 0, running = 0;
		const renewal = new Renewal(async () => {
			attempts++;
			if (++running > 1) throw new Error("two at once");
			await new Promise((done) => setTimeout(done));
			running--;
		}, (fault) => { throw new Error(fault); });
		await Promise.all([renewal.start(5), renewal.start(5), renewal.start(6)]);
		for (const ends of [6, 5, -1, null, undefined, "soon", {}, [], NaN]) await renewal.start(ends);
		await renewal.start(7);
		return attempts;
	})`)
	if got != 3 {
		t.Errorf("got %d attempts for three ends, want 3", got)
	}
}

func TestExtensionIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, path := range []string{protocol.PathLogin, protocol.PathJoin} {
		t.Run(path, func(t *testing.T) {
			s := newFakeServer(t)
			s.accessTTL = time.Second // each extension takes a login and a join
			alice := newPerson(t, s, "alice", hurried(5000))
			alice.SignIn("alice-password")
			alice.WantVisible("#app")
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

func TestAttemptsToExtend(t *testing.T) {
	t.Parallel()
	p := newPerson(t, newFakeServer(t), "module")
	for _, tt := range []struct{ name, renew, want string }{ // at which seconds
		{"works", ``, "0"},
		{"refused for good", `throw { code: "forbidden" }`, "0"},
		{"server is not there", `throw new Error("gone")`, "0 5 10 15 20 25 30 35 40 45 50 55 60"},
		{"server is busy", `throw { code: "busy" }`, "0 5 10 15 20 25 30 35 40 45 50 55 60"},
		{"server says when", `throw { code: "rate_limited", retryAfter: 25 }`, "0 25 50"},
		{"server says too late", `throw { code: "rate_limited", retryAfter: 61 }`, "0"},
		{"works at last", `if (at.length < 3) throw new Error("gone")`, "0 5 10"},
		{"signed out meanwhile", `if (at.length === 2) renewal.stop(); throw new Error("gone")`, "0 5"},
	} {
		got := webtest.Eval[string](p, `import("/renewal.js").then(async ({ Renewal }) => {
			let now = 0;
			performance.now = () => now;
			window.setTimeout = (then, ms) => { now += ms; queueMicrotask(then); };
			const at = [];
			const renewal = new Renewal(async () => { at.push(now / 1000); `+tt.renew+` }, () => {});
			await renewal.start(1);
			return at.join(" ");
		})`)
		if got != tt.want {
			t.Errorf("%s: got attempts at %q s, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSessionThatCannotBeExtended(t *testing.T) {
	t.Parallel()
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
			alice.WantText("#find-hint", "Your session ends in a minute: "+tt.want)
			s.drop("alice", int(protocol.CloseExpired))
			alice.WantText("#signin-error", "Your session has expired and was not extended: "+tt.want)
		})
	}
}

func TestCallOutlivesTheSession(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	s.drop("alice", int(protocol.CloseExpired))
	alice.WantText("#banner-text", "Your session has expired. Sign in again to be reachable. Your call goes on without it.")
	alice.Say("still here")
	bob.WantHeard("still here")
	bob.Say("so am I")
	alice.WantHeard("so am I")
}

// Who has signed out is not signed in again by what was under way.
func TestSignOutEndsTheExtension(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice := newPerson(t, s, "alice", `AbortSignal.timeout = () => new AbortController().signal;`)
	alice.SignIn("alice-password")
	alice.WantVisible("#app")
	asked, ended := make(chan struct{}), make(chan struct{})
	s.answer(protocol.PathJoin, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(ended)
	})
	s.expire("alice")
	<-asked
	alice.Click("#signout")
	alice.WantVisible("#signin")
	select {
	case <-ended:
	case <-time.After(webtest.Patience):
		t.Fatal("the request goes on")
	}
	if got := webtest.Eval[string](alice, `document.getElementById("find-hint").textContent`); got != "" {
		t.Errorf("got the hint %q, want none: there is no session that ends", got)
	}
	if got := s.sent("alice", "refresh"); len(got) > 0 {
		t.Errorf("got %v, want no refresh", got)
	}
}

func TestForgottenTokens(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	p := newPerson(t, s, "module")
	got := webtest.Eval[string](p, `import("/tokens.js").then(async ({ Tokens }) => {
		const tokens = new Tokens("alice", "alice-password", "lobby");
		await tokens.next();
		tokens.forget();
		return tokens.next().catch((error) => error.message);
	})`)
	if got != "Signed out." || len(s.asked(protocol.PathLogin)) != 1 || len(s.asked(protocol.PathJoin)) != 1 {
		t.Errorf("got %q after forget, and %v asked, want it signed out, and nothing asked since", got, s.requests)
	}
}
