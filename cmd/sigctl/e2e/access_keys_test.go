//go:build integration

package e2e

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/sigctl/sigctl/pkg/token/oidc/oidctest"
)

// trusting makes a server take the tokens of an issuer.
func trusting(i *oidctest.Issuer) []string {
	return []string{"--oidc-issuer", i.URL, "--oidc-audience", oidctest.Audience}
}

// rotate makes a new key sign, and returns its id.
func (s *server) rotate() string {
	s.t.Helper()
	p := s.sigctl("token", "keys", "rotate")
	p.wantExit(0)
	match := regexp.MustCompile(`^key (\S+) signs from now on`).FindStringSubmatch(p.out.all())
	if match == nil {
		s.t.Fatalf("rotate says %q, want the new key's id", p.out.all())
	}
	return match[1]
}

// A hundred sessions that tokens opened do not notice that the key changes, and then
// that the old one is gone. Unspent tokens of the old key are good until then.
func TestKeysRotateUnderSessions(t *testing.T) {
	t.Parallel()
	issuer := oidctest.NewPlain(t)
	s := startServe(t, trusting(issuer)...)
	c := s.local(t)
	token := func(user string) string {
		t.Helper()
		return c.roomToken(issuer.Token(map[string]any{"sub": user}), "lobby")
	}
	var sessions []*tutorialClient
	for n := range 100 {
		ws, _ := c.signIn(message{"token": token(fmt.Sprintf("member%d", n))})
		sessions = append(sessions, ws)
	}
	wantAllAlive := func() {
		for _, ws := range sessions {
			ws.wantAlive()
		}
	}
	before, unspent := token("before"), token("unspent")
	old := keyID(t, before)

	next := s.rotate()
	wantAllAlive()
	c.signIn(message{"token": before})
	after := token("after")
	if kid := keyID(t, after); kid != next || kid == old {
		t.Errorf("after the rotation key %s signs, want %s, not %s", kid, next, old)
	}
	if published := keyIDs(c.want("GET", "/.well-known/jwks.json", "", nil)); fmt.Sprint(published) != fmt.Sprint([]string{next, old}) {
		t.Errorf("keys %v are published, want %s and %s", published, next, old)
	}

	s.sigctl("token", "keys", "remove", next).wantExit(1) // nothing could be signed then
	s.sigctl("token", "keys", "remove", old).wantExit(0)
	c.wantRefused("bad_credentials", message{"token": unspent})
	c.signIn(message{"token": after})
	wantAllAlive()
	s.wantEvent("admin ok actor=admin doing=rotate the token keys")
	s.wantEvent("admin ok actor=admin doing=remove token key " + old)
}

func keyIDs(jwks message) (ids []string) {
	list, _ := jwks["keys"].([]any)
	for _, k := range list {
		if k, ok := k.(message); ok {
			ids = append(ids, text(k, "kid"))
		}
	}
	return ids
}

// Two servers share a Redis: what one does to keys and tokens counts at the other,
// and a restart forgets neither.
func TestTokensInRedis(t *testing.T) {
	t.Parallel()
	redis, issuer := startRedis(t), oidctest.NewPlain(t)
	args := append(trusting(issuer), "--redis", redis.url())
	one, two := startServe(t, args...), startServe(t, args...)
	at1, at2 := one.local(t), two.local(t)
	access := func(user string) string { return issuer.Token(map[string]any{"sub": user}) }

	spent := at1.roomToken(access("alice"), "lobby")
	at1.signIn(message{"token": spent})
	at2.wantRefused("token_replayed", message{"token": spent})
	at2.wantCode("token_replayed", "GET", "/api/validate", spent, nil)
	two.wantEvent("token_replayed token_replayed user=alice by=token room=lobby")

	old := at2.roomToken(access("bob"), "lobby")
	next := one.rotate()
	fresh := at1.roomToken(access("carol"), "lobby")
	if kid := keyID(t, fresh); kid != next {
		t.Errorf("after the rotation key %s signs, want %s", kid, next)
	}
	until(t, "the other server knows the new key", func() bool {
		status, _ := at2.ask("GET", "/api/validate", fresh, nil)
		return status == 200
	})
	at1.signIn(message{"token": old})

	two.signal(os.Interrupt)
	two.wantExit(0)
	two = serveIn(t, two.data, args)
	at2 = two.local(t)
	at2.wantRefused("token_replayed", message{"token": spent})
	at2.signIn(message{"token": fresh})
	at1.wantRefused("token_replayed", message{"token": fresh})
}
