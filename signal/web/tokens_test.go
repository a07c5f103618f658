//go:build integration

package web

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/signal/web/webtest"
)

func TestPasswordBuysTokensThatSignIn(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice := newPerson(t, s, "alice")
	alice.SignInTo("ops", "alice-password")
	alice.WantVisible("#people-room")
	alice.WantText("#room-name", "ops")
	tokens, logins := s.tokens(), s.sent("", "login")
	if len(tokens) != 2 || len(logins) != 1 {
		t.Fatalf("got tokens %q and logins %v, want two and one", tokens, logins)
	}
	if m := logins[0]; m["token"] != tokens[1] || m["password"] != nil {
		t.Errorf("got the login %v, want it with the room token, and without a password", m)
	}
	if got := s.asked(protocol.PathLogin); len(got) != 1 || got[0].body["password"] != "alice-password" || got[0].bearer != "" {
		t.Errorf("got %v at the login, want one with the password", got)
	}
	if got := s.asked(protocol.PathJoin); len(got) != 1 || got[0].body["room"] != "ops" || got[0].bearer != tokens[0] {
		t.Errorf("got %v to join, want one for ops with the access token", got)
	}
}

func TestRoomsAreApart(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	people := map[string]*webtest.Person{}
	for name, room := range map[string]string{"alice": "ops", "bob": "ops", "carol": ""} {
		p := newPerson(t, s, name)
		p.SignInTo(room, name+"-password")
		p.WantVisible("#app")
		people[name] = p
	}
	people["alice"].WantPerson("bob")
	people["alice"].WantText("#people-count", "1")
	people["carol"].WantText("#people-count", "0")
	if webtest.Eval[bool](people["carol"], `document.getElementById("people-room").checkVisibility()`) {
		t.Error("the lobby is named, want no word about it")
	}
	people["carol"].Write("#find-name", "bob\r")
	people["carol"].WantText("#ended-text", "bob is not here.")
	people["alice"].Call(people["bob"].Name)
	people["bob"].WantText("#status", "Connected, direct")
}

// A server from before there were tokens has no such path.
func TestServerWithoutTokensGetsThePassword(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.answer(protocol.PathLogin, http.NotFound)
	alice, bob := inCall(t, s)
	alice.Say("as before")
	bob.WantHeard("as before")
	for _, m := range s.sent("", "login") {
		if m["password"] != str(m["name"])+"-password" || m["token"] != nil {
			t.Errorf("got the login %v, want it with the password", m)
		}
	}
	carol := newPerson(t, s, "carol")
	carol.SignInTo("ops", "carol-password") // of which it knows nothing
	carol.WantText("#signin-error", "The server did not let you into the room ops as carol.")
}

func text(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// endless answers until the browser has had enough.
func endless(w http.ResponseWriter, r *http.Request) {
	for chunk := strings.Repeat(" ", 16<<10); ; {
		if _, err := io.WriteString(w, chunk); err != nil {
			return
		}
		w.(http.Flusher).Flush()
	}
}

func TestAnswersThatAreNoTokens(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice := newPerson(t, s, "alice")
	const unusable, busy, unreachable = "The server’s answer cannot be used.", "The server is busy. Try again in a moment.",
		"The server cannot be reached. Check your connection and try again."
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"no fields", text(200, `{}`), unusable},
		{"null", text(200, `null`), unusable},
		{"a list", text(200, `["token"]`), unusable},
		{"not JSON", text(200, `<!doctype html>`), unusable},
		{"nothing", text(200, ``), unusable},
		{"token that is no text", text(200, `{"token":{"length":5}}`), unusable},
		{"empty token", text(200, `{"token":""}`), unusable},
		{"token with a header", text(200, `{"token":"a\r\nHost: b","expires":9999999999}`), unusable},
		{"token too long", text(200, `{"token":"`+strings.Repeat("a", protocol.MaxTokenLen+1)+`"}`), unusable},
		{"too much", text(200, `{"token":"a","x":"`+strings.Repeat("x", 64<<10)+`"}`), unusable},
		{"no end", endless, unusable},
		{"elsewhere", text(302, "", "Location", "https://127.0.0.1:1/api/login"), unreachable},
		{"markup for a code", text(400, `{"code":"<img src=x>","message":"<img src=x onerror=alert(1)>"}`), "The server said: <img src=x onerror=alert(1)>"},
		{"name of a built-in", text(400, `{"code":"__proto__","message":{}}`), "The server said: [object Object]"},
		{"message without an end", text(400, `{"code":"?","message":"`+strings.Repeat("a", 9999)+`"}`), "The server said: " + strings.Repeat("a", 183)},
		{"wait without an end", text(429, `{"code":"rate_limited","retryAfter":1e308}`), "Too many attempts. Try again later."},
		{"wait that is markup", text(429, `{"code":"rate_limited","retryAfter":"<b>1"}`), "Too many attempts. Try again in a moment."},
		{"proxy's limit", text(429, `<h1>slow down</h1>`, "Retry-After", "12"), "Too many attempts. Try again in 12 s."},
		{"proxy's fault", text(502, `<h1>bad gateway</h1>`), busy},
		{"teapot", text(418, ``), unusable},
	} {
		t.Log(tt.name)
		s.answer(protocol.PathLogin, tt.answer)
		alice.SignIn("alice-password")
		alice.WantText("#signin-error", tt.want)
		if got := webtest.Eval[int](alice, `document.getElementById("signin-error").childElementCount`); got != 0 {
			t.Errorf("got %d elements in the text, want none", got)
		}
	}
	if len(s.sent("", "login")) > 0 {
		t.Error("the password went over the WebSocket after all")
	}
}

// everywhere is all that a page leaves where others may look.
const everywhere = `(async () => JSON.stringify([
	document.documentElement.outerHTML,
	[...document.querySelectorAll("input, textarea")].map((field) => field.value),
	{ ...localStorage }, { ...sessionStorage }, document.cookie, await indexedDB.databases(), await caches.keys(),
	location.href, document.referrer, history.state, window.name,
	performance.getEntries().map((entry) => entry.name),
]))()`

func TestPasswordAndTokensAreLeftNowhere(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	s.expire("alice")
	alice.WaitFor(`performance.getEntriesByType("resource").filter((e) => e.name.endsWith("` + protocol.PathJoin + `")).length === 2`)
	alice.Click("#hangup")
	bob.WantVisible("#ended")
	secrets := append(s.tokens(), "alice-password", "bob-password")
	search := func(when string) {
		t.Helper()
		console, _ := json.Marshal(alice.Console())
		found := webtest.Eval[string](alice, everywhere) + string(console)
		if !strings.Contains(found, "Sign in to sigctl") || !strings.Contains(found, protocol.PathJoin) {
			t.Fatalf("%s: the search finds nothing at all: %s", when, found)
		}
		for _, secret := range secrets {
			if strings.Contains(found, secret) {
				t.Errorf("%s: %q is left in the page", when, secret)
			}
		}
	}
	search("signed in")
	alice.Click("#signout")
	alice.WantVisible("#signin")
	search("signed out")
}
