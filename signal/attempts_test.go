package signal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// state is what no refused attempt may change.
type state struct {
	sessions []SessionInfo
	rooms    []RoomInfo
	users    string
}

func (as *accessServer) state() state {
	as.t.Helper()
	users, err := as.store.List(as.t.Context())
	if err != nil {
		as.t.Fatal(err)
	}
	var names []string
	for _, u := range users {
		names = append(names, u.Name+" "+u.Source+" "+u.Hash+" "+u.Revoked.String())
	}
	return state{as.List(), as.Rooms(), strings.Join(names, "\n")}
}

func (s state) equal(o state) bool {
	return slices.EqualFunc(s.sessions, o.sessions, func(a, b SessionInfo) bool {
		return a.Session == b.Session && a.Room == b.Room && a.Expires.Equal(b.Expires) && slices.Equal(a.Permissions, b.Permissions)
	}) && slices.Equal(s.rooms, o.rooms) && s.users == o.users
}

// wantRefused checks that one event was written down, and nothing else has changed.
func (as *accessServer) wantRefused(what string, before state, kind audit.Kind, code, why string) {
	as.t.Helper()
	events := as.audit.take(as.t)
	if len(events) != 1 {
		as.t.Errorf("%s: audit holds %+v, want one event", what, events)
		return
	}
	e := events[0]
	if e.Kind != kind || e.Outcome != audit.OutcomeRefused || string(e.Code) != code || !strings.Contains(e.Why, why) || !e.Address.IsLoopback() {
		as.t.Errorf("%s: audit holds %+v, want %s refused from loopback with %s, because %s", what, e, kind, code, why)
	}
	if after := as.state(); !after.equal(before) {
		as.t.Errorf("%s: after the refusal there is %+v, before %+v", what, after, before)
	}
}

func TestRefusedLogins(t *testing.T) {
	as := newAccessServer(t)
	f := as.forger()
	now := time.Now()
	_, otherKey, _ := ed25519.GenerateKey(nil)
	public := []byte(f.key.Public().(ed25519.PublicKey))

	good := as.loginWith(f.token(nil)) // or else the rest proves nothing; it stays: its end would be on record, too
	good.want(`{"type":"login","success":true,"name":"user1","room":"team"}`)
	spent := as.roomToken("user2", "team")
	as.loginWith(spent).want(`{"success":true}`)
	in := as.joinRoom("user3", "team")

	login := func(text string) string { return `{"type":"login","token":"` + text + `"}` }
	for _, tt := range []struct {
		name, frame string
		kind        audit.Kind
		code, why   string
	}{
		{"expired", login(f.token(jwt.MapClaims{"iat": now.Unix() - 700, "nbf": now.Unix() - 700, "exp": now.Unix() - 60})), audit.Login, "token_expired", "expired"},
		{"not yet valid", login(f.token(jwt.MapClaims{"nbf": now.Unix() + 300})), audit.Login, "bad_credentials", "not yet valid"},
		{"wrong room", `{"type":"login","room":"lobby","token":"` + f.token(nil) + `"}`, audit.Login, "forbidden", "token of room team"},
		{"wrong user", `{"type":"login","name":"user5","token":"` + f.token(nil) + `"}`, audit.Login, "forbidden", "token of user user1"},
		{"wrong audience", login(f.token(jwt.MapClaims{"aud": []string{"other/ws"}})), audit.Login, "bad_credentials", "another purpose"},
		{"other issuer", login(f.token(jwt.MapClaims{"iss": "other"})), audit.Login, "bad_credentials", "another issuer"},
		{"alg none", login(f.sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, nil)), audit.Login, "bad_credentials", "alg must be EdDSA"},
		{"HS256 with the public key", login(f.sign(jwt.SigningMethodHS256, public, nil, nil)), audit.Login, "bad_credentials", "alg must be EdDSA"},
		{"unknown key", login(f.sign(jwt.SigningMethodEdDSA, otherKey, map[string]any{"kid": "nobody"}, nil)), audit.Login, "bad_credentials", "not in use"},
		{"other key under a known id", login(f.sign(jwt.SigningMethodEdDSA, otherKey, nil, nil)), audit.Login, "bad_credentials", "signature"},
		{"replayed", login(spent), audit.TokenReplayed, "token_replayed", "was used"},
		{"tampered", login(tampered(f.token(nil))), audit.Login, "bad_credentials", "signature"},
		{"user deleted", login(f.token(jwt.MapClaims{"sub": "user99"})), audit.Login, "token_expired", "user deleted"},
		{"access token", login(as.access("user1")), audit.Login, "bad_credentials", "another purpose"},
		{"token of an outside issuer", login(as.issuer.Token(map[string]any{"sub": "user1", "aud": "sigctl"})), audit.Login, "bad_credentials", "alg must be EdDSA"},
		{"garbage", login("eyJ.e30.c2ln"), audit.Login, "bad_credentials", "malformed"},
		{"wrong password", `{"type":"login","name":"user1","password":"guess"}`, audit.Login, "bad_credentials", "wrong user name or password"},
		{"unknown user", `{"type":"login","name":"nobody","password":"guess"}`, audit.Login, "bad_credentials", "wrong user name or password"},
		{"room without a rule", `{"type":"login","name":"user9","password":"password9","room":"team"}`, audit.Login, "forbidden", "no rule"},
		{"signed in elsewhere", `{"type":"login","name":"user3","password":"password3"}`, audit.Login, "already_logged_in", "name in use"},
		{"resume", `{"type":"login","resume":"x"}`, audit.Login, "bad_credentials", "resume"},
	} {
		c := as.connect(tt.name)
		as.audit.take(t)
		before := as.state()
		c.send(tt.frame)
		got := c.want(`{"type":"login","success":false,"code":"` + tt.code + `"}`)
		if text, _ := got["message"].(string); text == "" {
			t.Errorf("%s: the refusal does not say why: %v", tt.name, got)
		}
		as.wantRefused(tt.name, before, tt.kind, tt.code, tt.why)
		in.wantAlive()
	}
}

// tampered raises the permissions in a token.
func tampered(text string) string {
	part := strings.Split(text, ".")
	claims := must(base64.RawURLEncoding.DecodeString(part[1]))
	part[1] = base64.RawURLEncoding.EncodeToString(bytes.Replace(claims, []byte(`"data"`), []byte(`"publish"`), 1))
	return strings.Join(part, ".")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestOversizedTokens(t *testing.T) {
	as := newAccessServer(t)
	c := as.connect("a")
	before := as.state()
	c.send(`{"type":"login","token":"` + strings.Repeat("x", protocol.MaxTokenLen+1) + `"}`)
	c.wantError("bad_message", "token is longer than")
	as.wantRefused("oversized token", before, audit.Login, "bad_message", "token is longer than")
	status, answer := as.do("GET", protocol.PathJoin, strings.Repeat("x", protocol.MaxTokenLen+1), "")
	if status != http.StatusUnauthorized || answer["code"] != "bad_credentials" {
		t.Errorf("join with an oversized token = %d %v", status, answer)
	}
	as.wantRefused("oversized token at join", before, audit.TokenRefused, "bad_credentials", "")
	c = as.connect("b")
	c.send(`{"type":"login","token":"` + strings.Repeat("x", protocol.MaxLoginFrame) + `"}`)
	c.wantClose(int(protocol.CloseTooLarge))
	as.wantRefused("oversized frame", before, audit.Login, "too_large", "too large")
}

// What was issued by a key that is gone, before a restart or before a kick, is void.
func TestVoidTokens(t *testing.T) {
	as := newAccessServer(t)
	refused := func(text, code string) {
		t.Helper()
		c := as.connect("void")
		as.audit.take(t)
		before := as.state()
		c.send(`{"type":"login","token":"` + text + `"}`)
		c.want(`{"type":"login","success":false,"code":"` + code + `"}`)
		kind := audit.Login
		if code == "token_replayed" {
			kind = audit.TokenReplayed
		}
		as.wantRefused("void token", before, kind, code, "")
	}
	spent, fresh, access := as.roomToken("user1", "team"), as.roomToken("user2", "team"), as.access("user2")
	as.loginWith(spent).want(`{"success":true}`)
	as.restart()
	refused(spent, "token_replayed")
	refused(fresh, "token_replayed") // it may have been spent: nobody knows
	if status, answer := as.do("GET", protocol.PathJoin, access, ""); status != http.StatusOK {
		t.Errorf("access token after a restart = %d %v", status, answer)
	}

	kicked := as.roomToken("user1", "team")
	access = as.access("user1")
	if err := as.store.Revoke(t.Context(), "user1", time.Now()); err != nil {
		t.Fatal(err)
	}
	refused(kicked, "token_expired")
	if status, answer := as.do("GET", protocol.PathJoin, access, ""); status != http.StatusUnauthorized || answer["code"] != "token_expired" {
		t.Errorf("join with the access token of a kicked user = %d %v", status, answer)
	}
	as.loginWith(as.roomToken("user1", "team")).want(`{"success":true}`) // what is issued after is good, in the same second too

	old, kid := as.roomToken("user3", "team"), as.forger().kid
	must(as.tokens.Rotate(t.Context()))
	as.loginWith(as.roomToken("user4", "team")).want(`{"success":true}`) // by the new key
	as.loginWith(old).want(`{"success":true}`)                           // by the old one
	old = as.forge(kid)
	if err := as.tokens.Remove(t.Context(), kid); err != nil {
		t.Fatal(err)
	}
	refused(old, "bad_credentials")
}

// A token of an outside issuer that does not say when it was issued is older than
// every kick.
func TestKickVoidsOutsideTokens(t *testing.T) {
	as := newAccessServer(t)
	for _, claims := range []map[string]any{{"sub": "dated", "aud": "sigctl"}, {"sub": "undated", "aud": "sigctl", "iat": nil}} {
		text := as.issuer.Token(claims)
		if status, answer := as.do("GET", protocol.PathJoin, text, ""); status != http.StatusOK {
			t.Fatalf("%v: join = %d %v", claims, status, answer)
		}
		if err := as.store.Revoke(t.Context(), claims["sub"].(string), time.Now()); err != nil {
			t.Fatal(err)
		}
		if status, answer := as.do("GET", protocol.PathJoin, text, ""); answer["code"] != "token_expired" {
			t.Errorf("%v: join after a kick = %d %v, want token_expired", claims, status, answer)
		}
	}
}

// forge issues a token for user5 by the key of that id, which is not the signing one.
func (as *accessServer) forge(kid string) string {
	as.t.Helper()
	f := as.forger()
	set := must(must(as.keys.Load(as.t.Context())).EncodePrivate())
	f.kid, f.key = kid, keyOf(as.t, set, kid)
	return f.token(jwt.MapClaims{"sub": "user5"})
}

func TestRefusedRequests(t *testing.T) {
	as := newAccessServer(t)
	room, access := as.roomToken("user1", "team"), as.access("user1")
	outside := func(changes map[string]any) string {
		claims := map[string]any{"sub": "outsider", "aud": "sigctl"}
		for k, v := range changes {
			claims[k] = v
		}
		return as.issuer.Token(claims)
	}
	as.do("GET", protocol.PathJoin, outside(map[string]any{"groups": []string{"staff"}}), "") // the name is the issuer's from now on

	for _, tt := range []struct {
		name, method, path, bearer, body string
		status                           int
		kind                             audit.Kind
		code, why                        string
	}{
		{"no token", "GET", "/api/rooms/join", "", "", 401, audit.TokenRefused, "unauthenticated", "no token"},
		{"room token at join", "GET", "/api/rooms/join", room, "", 401, audit.TokenRefused, "bad_credentials", "another purpose"},
		{"access token at ice", "POST", "/api/ice", access, "", 401, audit.TokenRefused, "bad_credentials", "another purpose"},
		{"access token at validate", "GET", "/api/validate", access, "", 401, audit.TokenRefused, "bad_credentials", "another purpose"},
		{"token in the URL", "GET", "/api/rooms/join?token=x", "", "", 400, audit.TokenRefused, "bad_message", "in the URL"},
		{"room without a rule", "GET", "/api/rooms/join?room=staff", access, "", 403, audit.TokenRefused, "forbidden", "no rule"},
		{"more than granted", "POST", "/api/rooms/join", as.access("user4"), `{"room":"team","permissions":["join","publish"]}`, 403, audit.TokenRefused, "forbidden", "not granted: publish"},
		{"bad room", "GET", "/api/rooms/join?room=a/b", access, "", 400, audit.TokenRefused, "bad_message", "room name"},
		{"not JSON", "POST", "/api/login", "", `[`, 400, audit.Login, "bad_message", "JSON"},
		{"too large", "POST", "/api/login", "", strings.Repeat(" ", maxAPIBody+1), 413, audit.Login, "too_large", "too large"},
		{"wrong method", "DELETE", "/api/login", "", "", 405, audit.Login, "bad_message", "method"},
		{"wrong password", "POST", "/api/login", "", `{"name":"user1","password":"guess"}`, 401, audit.Login, "bad_credentials", "wrong user name or password"},
		{"outsider with a local name", "GET", "/api/rooms/join", outside(map[string]any{"sub": "user1"}), "", 403, audit.TokenRefused, "forbidden", "another source"},
		{"outsider of another audience", "GET", "/api/rooms/join", outside(map[string]any{"aud": "other"}), "", 401, audit.TokenRefused, "bad_credentials", "another application"},
		{"outsider, expired", "GET", "/api/rooms/join", outside(map[string]any{"exp": time.Now().Unix() - 3600}), "", 401, audit.TokenRefused, "token_expired", "expired"},
		{"local user with an outsider's name", "POST", "/api/login", "", `{"name":"outsider","password":"guess"}`, 401, audit.Login, "bad_credentials", "wrong user name or password"},
	} {
		as.audit.take(t)
		before := as.state()
		status, answer := as.do(tt.method, tt.path, tt.bearer, tt.body)
		if status != tt.status || answer["code"] != tt.code || answer["message"] == "" {
			t.Errorf("%s: %s %s = %d %v, want %d %s", tt.name, tt.method, tt.path, status, answer, tt.status, tt.code)
		}
		as.wantRefused(tt.name, before, tt.kind, tt.code, tt.why)
	}
}

// What a session may not send is refused, written down, and reaches nobody.
func TestRefusedMessages(t *testing.T) {
	as := newAccessServer(t)
	publisher, watcher := as.joinRoom("user1", "team"), as.joinRoom("user4", "team")
	elsewhere := as.joinRoom("user9", "lobby")
	offer := func(m ...string) string {
		return `{"type":"offer","name":"user1","offer":{"type":"offer","sdp":"v=0\r\n` + strings.Join(m, `\r\n`) + `\r\n"}}`
	}
	const video, data = `m=video 9 UDP/TLS/RTP/SAVPF 96`, `m=application 9 UDP/DTLS/SCTP webrtc-datachannel`
	foreign := must2(as.IssueRoomToken(t.Context(), "user9", "team", []string{"join"}, time.Minute))
	otherRoom := must2(as.IssueRoomToken(t.Context(), "user4", "lobby", []string{"join"}, time.Minute))

	for _, tt := range []struct {
		name, frame, code, text, why string
		kind                         audit.Kind
	}{
		{"sendrecv video from a subscriber", offer(video, `a=sendrecv`), "forbidden", "publish", "publish", audit.Refused},
		{"no direction is sendrecv", offer(video), "forbidden", "publish", "publish", audit.Refused},
		{"data channel without data", offer(data), "forbidden", "data", "data", audit.Refused},
		{"two directions", offer(video, `a=recvonly`, `a=sendonly`), "forbidden", "second direction", "second direction", audit.Refused},
		{"direction of the session", offer(`a=inactive`, video, `a=recvonly`), "forbidden", "inactive", "inactive", audit.Refused},
		{"answer with video", `{"type":"answer","name":"user1","answer":{"type":"answer","sdp":"v=0\r\n` + video + `\r\na=sendonly\r\n"}}`, "forbidden", "publish", "publish", audit.Refused},
		{"someone in another room", `{"type":"candidate","name":"user9","candidate":null}`, "peer_offline", "user9 is not here", "user9 is not here", audit.Refused},
		{"in another's name", `{"type":"leave","name":"user1","from":"user2"}`, "forbidden", "you are user4", "you are user4", audit.Refused},
		{"refresh with another user's token", `{"type":"refresh","token":"` + foreign + `"}`, "forbidden", "another user's", "token of user user9", audit.Refused},
		{"refresh with another room's token", `{"type":"refresh","token":"` + otherRoom + `"}`, "forbidden", "another room", "token of room lobby", audit.Refused},
		{"refresh with an access token", `{"type":"refresh","token":"` + as.access("user4") + `"}`, "bad_credentials", "another purpose", "another purpose", audit.Refused},
	} {
		watcher.name = tt.name
		as.audit.take(t)
		before := as.state()
		watcher.send(tt.frame)
		watcher.wantError(tt.code, tt.text)
		as.wantRefused(tt.name, before, tt.kind, tt.code, tt.why)
		publisher.wantAlive() // nothing came before
		elsewhere.wantAlive()
	}
	watcher.send(offer(video, `a=recvonly`)) // what is allowed passes, with what the sender may do
	publisher.want(`{"type":"offer","name":"user4","permissions":["join","subscribe"]}`)
}

func must2[T, U any](v T, _ U, err error) T { return must(v, err) }
