//go:build integration

package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/token/oidc/oidctest"
)

// recorded is a server of which every event is expected, and the secrets that were
// used with it.
type recorded struct {
	*server
	c       *client
	t       *testing.T
	certs   *clientCerts
	issuer  *oidctest.Issuer
	policy  string // file
	events  int    // that were expected until now
	secrets []string

	alice             *tutorialClient
	access, room      string // tokens of alice
	username, relayed string // credential of alice for the relay
}

func newRecorded(t *testing.T) *recorded {
	t.Helper()
	r := &recorded{t: t, certs: newClientCerts(t), issuer: oidctest.NewPlain(t)}
	r.policy = write(t, t.TempDir(), "policy.yaml", "rules:\n  - {users: ['*'], rooms: [lobby, team], allow: [join, data]}\n")
	r.server = serveIn(t, r.certs.data, slices.Concat(r.certs.args, trusting(r.issuer), []string{"--policy", r.policy}))
	r.c = r.local(t)
	return r
}

// secret notes what must be written down nowhere.
func (r *recorded) secret(text string) string {
	r.t.Helper()
	if len(text) < 8 {
		r.t.Fatalf("%q is no secret: it may be anywhere", text)
	}
	r.secrets = append(r.secrets, text)
	return text
}

// step does something and checks that these events, and no others, are on record
// when it is done.
func (r *recorded) step(what string, do func(), want ...string) {
	r.t.Helper()
	do()
	var got []string
	all := r.audit()
	for _, e := range all[r.events:] {
		got = append(got, e.String())
	}
	r.events = len(all)
	if !slices.Equal(got, want) {
		r.t.Errorf("%s: on record is\n  %s\nwant\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// All that happens to the security of a server is on record once, and nothing that is
// secret, neither there nor in the log.
func TestAudit(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	r.tokens()
	r.messages()
	r.otherIdentities()
	r.administration()

	r.signal(os.Interrupt)
	r.wantExit(0)
	all := r.audit()
	if len(all) != r.events {
		t.Errorf("at the end of the server more came on record:\n%s", eventLines(all[r.events:]))
	}
	last := time.Time{}
	for _, e := range all {
		at, err := time.Parse(time.RFC3339Nano, e.Time)
		if err != nil || at.Before(last) {
			t.Errorf("%s is of %s (%v), want a time not before %s", e, e.Time, err, last)
		}
		last = at
		byServer := e.Actor != "" || e.Event == "policy_reload"
		if want := "127.0.0.1"; e.Address != want && !byServer {
			t.Errorf("%s is from %q, want %s", e, e.Address, want)
		}
	}
	r.wantNoSecrets()
}

// tokens is a sign-in by password and tokens.
func (r *recorded) tokens() {
	const api = "user=alice by=password message=POST /api/login"
	r.step("add a user", func() { r.secret("password-of-alice"); r.add("alice") },
		"admin ok user=alice actor=admin doing=add user")
	r.step("wrong password", func() {
		r.c.wantRefused("bad_credentials", message{"name": "alice", "password": r.secret("what somebody guesses")})
	}, "login bad_credentials user=alice by=password")
	r.step("access token", func() { r.access = r.secret(r.c.accessToken("alice")) }, "login ok "+api, "token_issued ok "+api)
	r.step("room token", func() {
		joined := r.c.want("POST", "/api/rooms/join", r.access, message{"room": "team"})
		r.room = r.secret(text(joined, "token"))
		r.username, r.relayed = turnCredential(joined)
		r.secret(r.relayed)
	}, "token_issued ok user=alice by=token room=team message=POST /api/rooms/join")
	r.step("validate", func() { r.c.want("GET", "/api/validate", r.room, nil) })
	r.step("sign in", func() { r.alice, _ = r.c.signIn(message{"token": r.room}) },
		"login ok user=alice by=token room=team", "join ok user=alice by=token room=team")
	r.step("replay", func() { r.c.wantRefused("token_replayed", message{"token": r.room}) },
		"token_replayed token_replayed user=alice by=token room=team")
	r.step("tampered token", func() {
		r.c.wantRefused("bad_credentials", message{"token": r.secret(r.room[:len(r.room)-8] + "AAAAAAAA")})
	}, "login bad_credentials")
	r.step("token in the URL", func() {
		r.c.wantCode("bad_message", "GET", "/api/rooms/join?token="+r.secret(r.issuer.Token(nil)), "", nil)
	}, "token_refused bad_message message=GET /api/rooms/join")
	r.step("a room that the policy forbids", func() { r.c.wantCode("forbidden", "GET", "/api/rooms/join?room=staff", r.access, nil) },
		"token_refused forbidden user=alice by=token room=staff message=GET /api/rooms/join")
	r.step("relay", func() { r.allocate(r.username, r.relayed) }, "allocation ok user=alice")
}

// messages is what a session may not send.
func (r *recorded) messages() {
	const session = "user=alice by=token room=team "
	sdp := "v=0\r\na=ice-pwd:" + r.secret("ice-password-of-a-call") + "\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=sendrecv\r\n"
	for _, tt := range []struct {
		code, on string
		m        message
	}{
		{"forbidden", "offer peer=bob", message{"type": "offer", "name": "bob", "offer": message{"type": "offer", "sdp": sdp}}},
		{"forbidden", "leave peer=bob", message{"type": "leave", "name": "bob", "from": "bob"}},
		{"bad_credentials", "refresh", message{"type": "refresh", "token": r.access}},
	} {
		r.step(tt.on, func() {
			r.alice.send(tt.m)
			if got := r.alice.want("error"); got["code"] != tt.code {
				r.t.Errorf("%s is answered with %v, want %s", tt.on, got, tt.code)
			}
		}, "refused "+tt.code+" "+session+"message="+tt.on)
	}
}

// otherIdentities is what an outside issuer's users and certificates may, and other
// sites' pages may not.
func (r *recorded) otherIdentities() {
	const join = "message=GET /api/rooms/join"
	token := func(name string) string { return r.secret(r.issuer.Token(map[string]any{"sub": name})) }
	r.step("outside issuer", func() { r.secret(text(r.c.want("GET", "/api/rooms/join", token("guest"), nil), "token")) },
		"token_issued ok user=guest by=oidc:"+r.issuer.URL+" room=lobby "+join)
	r.step("a local user's name", func() { r.c.wantCode("forbidden", "GET", "/api/rooms/join", token("alice"), nil) },
		"token_refused forbidden user=alice by=oidc:"+r.issuer.URL+" room=lobby "+join)

	const carol = "carol@example.com"
	certified := r.withCertificate(r.t, r.certs.issue(carol))
	const session = "user=" + carol + " by=certificate room=lobby"
	r.step("certificate", func() {
		ws, _ := certified.signIn(message{"name": carol})
		ws.Close()
		until(r.t, "the session's end is on record", func() bool { return r.countBecause("session_end ok "+session, "lost") == 1 })
	}, "login ok "+session, "join ok "+session, "session_end ok "+session)
	r.step("another's certificate", func() {
		certified.wantRefused("forbidden", message{"name": "alice", "password": r.passwords["alice"]})
	}, "login forbidden user=alice")

	r.step("another site's page", func() {
		got := r.curl(r.t, "https://"+r.addr()+"/api/rooms/join", "--header", "Origin: https://other.example",
			"--header", "Authorization: Bearer "+r.access, "--cookie", "session="+r.secret("cookie-of-somebody"))
		if !strings.HasSuffix(got, "\n403") {
			r.t.Errorf("another site's page got %s, want 403", got)
		}
	}, "token_refused forbidden "+join)
	r.step("another site's WebSocket", func() {
		if ws, _, err := r.c.dialer().Dial(r.url, http.Header{"Origin": {"https://other.example"}}); err == nil {
			ws.Close()
			r.t.Error("another site's page gets a WebSocket")
		}
	}, "login forbidden")
}

// administration is what is done at the command line.
func (r *recorded) administration() {
	const alice = "user=alice actor=admin"
	r.step("token", func() { r.room = r.secret(r.token("alice", "10m", "--room", "team")) }, "token_issued ok user=alice room=team actor=admin")
	r.step("refresh", func() { r.alice.send(message{"type": "refresh", "token": r.room}); r.alice.want("login") },
		"login ok user=alice by=token room=team message=refresh")
	const ended = "session_end ok user=alice by=token room=team"
	r.step("kick", func() {
		r.sigctl("session", "kick", "alice").wantExit(0)
		r.alice.wantClose(4501)
		until(r.t, "the session's end is on record", func() bool { return r.countBecause(ended, "kicked") == 1 })
	}, "revoked ok "+alice, "kick ok user=alice by=token room=team actor=admin", ended)
	r.step("after the kick", func() { r.c.wantRefused("token_expired", message{"token": r.room}) },
		"login token_expired user=alice by=token room=team")
	r.step("list", func() { r.sigctl("token", "keys", "list").wantExit(0); r.sigctl("session", "list").wantExit(0) })
	r.step("rotate", func() { r.rotate() }, "admin ok actor=admin doing=rotate the token keys")
	r.step("passwd", func() {
		argv := []string{sigctl, "user", "passwd", "alice", "--data", r.data}
		run(r.t, "user passwd", argv, withInput(r.secret("another password")+"\n")).wantExit(0)
	}, "admin ok "+alice+" doing=set password", "revoked ok "+alice)
	r.step("delete", func() { r.sigctl("user", "del", "alice").wantExit(0) }, "admin ok "+alice+" doing=delete user")
	r.step("policy", func() {
		before := r.events
		replace(r.t, r.policy, "rules:\n  - {users: ['*'], rooms: [lobby], allow: [join]}\n")
		until(r.t, "the policy is reloaded", func() bool { r.sigctl("session", "list"); return len(r.audit()) > before })
	}, "policy_reload ok")
}

// wantNoSecrets looks for all that was secret, in what the server wrote.
func (r *recorded) wantNoSecrets() {
	r.t.Helper()
	r.secret(strings.TrimSpace(read(r.t, r.data, "turn.secret")))
	var keys struct {
		Keys []struct{ JWK struct{ D string } }
	}
	if err := json.Unmarshal([]byte(read(r.t, r.data, "tokens.json")), &keys); err != nil {
		r.t.Fatal(err)
	}
	for _, k := range keys.Keys {
		r.secret(k.JWK.D)
	}
	written := map[string]string{"record": read(r.t, r.data, "audit.jsonl"), "log": r.out.all() + r.err.all()}
	for _, secret := range r.secrets {
		if signature := secret[strings.LastIndex(secret, ".")+1:]; signature != secret { // of a token
			secret = signature
		}
		for name, text := range written {
			if strings.Contains(text, secret) {
				r.t.Errorf("the %s holds the secret %q", name, secret)
			}
		}
	}
	if len(r.secrets) < 15 {
		r.t.Errorf("only %d secrets were used: the test proves little", len(r.secrets))
	}
}

// --audit says where the record goes: to a file, to the output, or nowhere.
func TestAuditElsewhere(t *testing.T) {
	t.Parallel()
	elsewhere := filepath.Join(t.TempDir(), "security.jsonl")
	for _, tt := range []struct {
		where string
		text  func(*server) string
	}{
		{"-", func(s *server) string { return s.out.all() }},
		{elsewhere, func(s *server) string { return read(t, elsewhere) }},
		{"off", nil},
	} {
		s := startServe(t, "--demo", "--audit", tt.where)
		c := s.local(t)
		c.wantRefused("bad_credentials", message{"name": "user1", "password": "wrong"})
		c.signIn(message{"name": "user1", "password": "password1"})
		s.signal(os.Interrupt)
		s.wantExit(0)
		if _, err := os.Stat(filepath.Join(s.data, "audit.jsonl")); err == nil {
			t.Errorf("--audit %s: there is a record in --data, too", tt.where)
		}
		if tt.text == nil {
			continue
		}
		var got []string
		for _, e := range parseAudit(t, tt.text(s)) {
			got = append(got, e.String())
		}
		const session = "user=user1 by=password room=lobby"
		want := []string{"login bad_credentials user=user1 by=password", "login ok " + session, "join ok " + session, "session_end ok " + session}
		if !slices.Equal(got, want) {
			t.Errorf("--audit %s: got\n  %s\nwant\n  %s", tt.where, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
}
