//go:build integration

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/sigctl/sigctl/pkg/token/oidc/oidctest"
)

const staffPolicy = `
rules:
  - users: ["*"]
    rooms: [lobby]
    allow: [join, data]
  - groups: [staff]
    rooms: ["staff-*"]
    allow: [join, data, publish, subscribe]
`

// An outside issuer's tokens are good for room tokens, as far as the policy goes.
func TestOutsideIssuer(t *testing.T) {
	t.Parallel()
	issuer := oidctest.NewPlain(t)
	policy := write(t, t.TempDir(), "policy.yaml", staffPolicy)
	s := startServe(t, append(trusting(issuer), "--policy", policy)...)
	c := s.local(t)
	staff := issuer.Token(map[string]any{"sub": "sub-of-erin", "groups": []string{"staff"}})
	rsa := oidctest.NewKey(t, jose.RS256)
	issuer.Publish(rsa.Public())
	cognito := oidctest.Sign(t, rsa, issuer.Claims(map[string]any{ // as Amazon Cognito makes access tokens
		"sub": "7f8a1c9e-0000-4444-8888-0123456789ab", "aud": nil, "client_id": oidctest.Audience,
		"token_use": "access", "scope": "openid", "username": "somebody", "version": 2,
	}), nil)
	guest := issuer.Token(map[string]any{"sub": "guest"})

	_, reply := c.signIn(message{"token": c.roomToken(staff, "staff-1")})
	if reply["room"] != "staff-1" || len(reply["permissions"].([]any)) != 4 {
		t.Errorf("staff is let in with %v, want room staff-1 and four permissions", reply)
	}
	s.wantEvent("token_issued ok user=sub-of-erin by=oidc:" + issuer.URL + " room=staff-1 message=POST /api/rooms/join")
	_, reply = c.signIn(message{"token": c.roomToken(cognito, "")})
	if reply["room"] != "lobby" || len(reply["permissions"].([]any)) != 2 {
		t.Errorf("Cognito's user is let in with %v, want the lobby and two permissions", reply)
	}
	c.wantCode("forbidden", "GET", "/api/rooms/join?room=staff-1", guest, nil)
	c.wantRefused("bad_credentials", message{"token": staff}) // it is good for a room token alone

	for name, claims := range map[string]map[string]any{
		"Cognito's identity token": {"token_use": "id"},
		"another client's":         {"token_use": "access", "aud": nil, "client_id": "another"},
		"another audience":         {"aud": "another"},
	} {
		claims["sub"] = "guest"
		if answer := c.wantCode("bad_credentials", "GET", "/api/rooms/join", issuer.Token(claims), nil); answer["token"] != nil {
			t.Errorf("%s: got a token", name)
		}
	}
}

// A name belongs to whom it was first used by, until it is deleted.
func TestNamesOfOutsideIssuer(t *testing.T) {
	t.Parallel()
	issuer := oidctest.NewPlain(t)
	s := startServe(t, trusting(issuer)...)
	s.add("alice")
	c := s.local(t)
	token := func(name string) string { return issuer.Token(map[string]any{"sub": name}) }

	local := c.accessToken("alice")
	c.wantCode("forbidden", "GET", "/api/rooms/join", token("alice"), nil)
	s.wantEvent("token_refused forbidden user=alice by=oidc:" + issuer.URL + " room=lobby message=GET /api/rooms/join")
	c.roomToken(local, "") // it is still hers

	c.roomToken(token("frank"), "")
	s.passwords["frank"] = "anything"
	c.wantRefused("bad_credentials", message{"name": "frank", "password": "anything"})
	s.sigctl("user", "add", "frank").wantExit(1)
	s.wantOwners("alice password", "frank oidc:"+issuer.URL)

	s.sigctl("user", "del", "alice").wantExit(0)
	until(t, "the token is of a second before", func() bool {
		c.wantCode("token_expired", "GET", "/api/rooms/join", local, nil)
		s.sigctl("user", "list").wantExit(0)
		return isPast(t, local)
	})
	theirs, _ := c.signIn(message{"token": c.roomToken(token("alice"), "")})
	s.wantOwners("alice oidc:"+issuer.URL, "frank oidc:"+issuer.URL)
	c.wantRefused("bad_credentials", message{"name": "alice", "password": s.passwords["alice"]})
	c.wantCode("token_expired", "GET", "/api/rooms/join", local, nil) // of the name's owner before
	theirs.wantAlive()
}

// wantOwners checks who the names belong to, as user list says it.
func (s *server) wantOwners(want ...string) {
	s.t.Helper()
	p := s.sigctl("user", "list")
	p.wantExit(0)
	var got []string
	for line := range strings.Lines(p.out.all()) {
		if fields := strings.Fields(line); len(fields) >= 3 {
			got = append(got, fields[0]+" "+strings.TrimSuffix(fields[2], ","))
		}
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("names belong to %q, want %q", got, want)
	}
}

// A chat signs in with a token of the outside issuer, in the room that it may join.
func TestChatWithOutsideToken(t *testing.T) {
	t.Parallel()
	issuer := oidctest.NewPlain(t)
	policy := write(t, t.TempDir(), "policy.yaml", staffPolicy)
	s := startServe(t, append(trusting(issuer), "--policy", policy)...)
	chat := func(name string, args ...string) *process {
		token := issuer.Token(map[string]any{"sub": name, "groups": "staff"})
		argv := append([]string{sigctl, "chat", "--data", s.data, "--server", s.url, "--token", "env:OUTSIDE", "--room", "staff-1"}, args...)
		return start(t, name, argv, withEnv("OUTSIDE="+token))
	}
	erin := chat("erin")
	erin.wantStatus("^Signed in as erin")
	grace := chat("grace", "--call", "erin")
	grace.says("hello")
	erin.wantLine("grace: hello")
}
