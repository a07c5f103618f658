package signal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/policy"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/token"
	"github.com/sigctl/sigctl/pkg/token/oidc"
	"github.com/sigctl/sigctl/pkg/token/oidc/oidctest"
	"github.com/sigctl/sigctl/pkg/user"
)

// accessServer is a server with everything that decides who may do what: users
// user1 to user9 with passwords password1 and so on, an outside issuer, a policy.
type accessServer struct {
	*testServer
	keys   token.KeyStore
	tokens *token.Authority
	store  user.Store
	issuer *oidctest.Issuer
	audit  *lines
	log    *audit.Log
}

const accessPolicy = `
rules:
  - users: ["*"]
    rooms: [lobby, small]
    allow: [join, data, publish, subscribe]
  - users: [user1, user2, user3]
    rooms: [team]
    allow: [join, data, publish, subscribe]
  - users: [user4]
    rooms: [team]
    allow: [join, subscribe]
  - groups: [staff]
    rooms: [staff]
    allow: [join, data]
rooms:
  - room: small
    max: 1
  - room: staff
    ice: relay
`

func newAccessServer(t testing.TB) *accessServer {
	t.Helper()
	ctx := t.Context()
	as := &accessServer{audit: &lines{}, issuer: oidctest.New(t), keys: token.FileKeys(filepath.Join(t.TempDir(), "keys.json"))}
	as.log = audit.New(as.audit)
	t.Cleanup(func() { as.log.Close() })
	store, err := user.OpenBolt(filepath.Join(t.TempDir(), "users.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	as.store = store
	for n := range 10 {
		u, err := user.New(fmt.Sprint("user", n), fmt.Sprint("password", n), user.MinimalParams)
		if err == nil {
			err = store.Add(ctx, u)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	as.start(t)
	return as
}

// start begins to serve with what there is, as a restarted server would.
func (as *accessServer) start(t testing.TB) {
	t.Helper()
	var err error
	if as.tokens, err = token.Open(t.Context(), as.keys, token.NewMemorySpender(), nil); err != nil {
		t.Fatal(err)
	}
	outside, err := oidc.New(&oidc.Config{Issuer: as.issuer.URL, Audience: "sigctl", Client: as.issuer.Client()})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Parse([]byte(accessPolicy))
	if err != nil {
		t.Fatal(err)
	}
	as.testServer = newTestServer(t, &Config{
		Users: user.NewAuthenticator(as.store, &user.AuthOptions{Params: user.MinimalParams}), Names: as.store,
		Tokens: as.tokens, Outside: outside, Policy: func() *policy.Policy { return rules },
		Audit: as.log, URL: func() string { return "wss://signal.example.com" },
		ICEServers: func(string) ([]protocol.ICEServer, time.Time) {
			return []protocol.ICEServer{{URLs: []string{"stun:192.0.2.1:3478"}}}, time.Now().Add(10 * time.Minute)
		},
	})
}

// restart is the end of the process and a new one on the same data.
func (as *accessServer) restart() {
	as.stop()
	as.start(as.t)
}

// lines is what was written down.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take returns the events since the last call.
func (l *lines) take(t testing.TB) (events []audit.Event) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(l.text.Bytes()) {
		var e audit.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("audit line %q: %v", line, err)
		}
		events = append(events, e)
	}
	l.text.Reset()
	return events
}

// do is one request of the HTTP API.
func (as *accessServer) do(method, path, bearer, body string) (status int, answer map[string]any) {
	as.t.Helper()
	req, err := http.NewRequest(method, "http://"+as.addr+path, strings.NewReader(body))
	if err != nil {
		as.t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		as.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(text, &answer) != nil {
		as.t.Fatalf("%s %s = %q, %v, want JSON", method, path, text, err)
	}
	return resp.StatusCode, answer
}

// access signs in over HTTP and returns the access token.
func (as *accessServer) access(name string) string {
	as.t.Helper()
	return as.tokenOf("POST", protocol.PathLogin, "", `{"name":"`+name+`","password":"password`+strings.TrimPrefix(name, "user")+`"}`)
}

// roomToken joins a room over HTTP and returns the room token.
func (as *accessServer) roomToken(name, room string) string {
	as.t.Helper()
	return as.tokenOf("POST", protocol.PathJoin, as.access(name), `{"room":"`+room+`"}`)
}

func (as *accessServer) tokenOf(method, path, bearer, body string) string {
	as.t.Helper()
	status, answer := as.do(method, path, bearer, body)
	text, _ := answer["token"].(string)
	if status != http.StatusOK || text == "" {
		as.t.Fatalf("%s %s = %d %v, want a token", method, path, status, answer)
	}
	return text
}

// loginWith opens a WebSocket and logs in with a room token.
func (as *accessServer) loginWith(text string) *client {
	as.t.Helper()
	c := as.connect("token")
	c.send(`{"type":"login","token":"` + text + `"}`)
	return c
}

// joinRoom is a session of a user in a room.
func (as *accessServer) joinRoom(name, room string) *client {
	as.t.Helper()
	c := as.loginWith(as.roomToken(name, room))
	c.name = name
	c.want(`{"type":"login","success":true,"name":"` + name + `","room":"` + room + `","seq":1}`)
	return c
}

// forger makes tokens with the server's own keys.
type forger struct {
	as   *accessServer
	kid  string
	key  ed25519.PrivateKey
	good jwt.MapClaims // of user1 in room team
}

func (as *accessServer) forger() *forger {
	as.t.Helper()
	set, err := as.keys.Load(context.Background())
	if err != nil {
		as.t.Fatal(err)
	}
	text, err := set.EncodePrivate()
	if err != nil {
		as.t.Fatal(err)
	}
	kid := storedKeys(as.t, text)[0].kid
	now := time.Now()
	return &forger{as, kid, keyOf(as.t, text, kid), jwt.MapClaims{
		"iss": "sigctl", "aud": []string{"sigctl/ws"}, "sub": "user1", "room": "team", "perms": []string{"join", "data"},
		"sid": "S", "iat": now.Unix() + 1, "nbf": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	}}
}

// storedKey is an Ed25519 key as RFC 8037 writes it.
type storedKey struct{ kid, seed string }

// storedKeys returns the private keys of a key store's content.
func storedKeys(t testing.TB, text []byte) (keys []storedKey) {
	t.Helper()
	var find func(v any)
	find = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				find(e)
			}
		case map[string]any:
			if d, ok := v["d"].(string); ok {
				seed, _ := base64.RawURLEncoding.DecodeString(d)
				kid, _ := v["kid"].(string)
				keys = append(keys, storedKey{kid, string(seed)})
			}
			for _, e := range v {
				find(e)
			}
		}
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if find(doc); len(keys) == 0 {
		t.Fatal("there is no private key in the key store")
	}
	return keys
}

func keyOf(t testing.TB, text []byte, kid string) ed25519.PrivateKey {
	t.Helper()
	for _, k := range storedKeys(t, text) {
		if k.kid == kid {
			return ed25519.NewKeyFromSeed([]byte(k.seed))
		}
	}
	t.Fatalf("there is no key %s", kid)
	return nil
}

// token is the good one with changes; a nil value removes a claim.
func (f *forger) token(changes jwt.MapClaims) string {
	return f.sign(jwt.SigningMethodEdDSA, f.key, nil, changes)
}

func (f *forger) sign(method jwt.SigningMethod, key any, header map[string]any, changes jwt.MapClaims) string {
	f.as.t.Helper()
	claims := maps.Clone(f.good)
	claims["jti"] = f.as.newID()
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	tok := jwt.NewWithClaims(method, claims)
	tok.Header["typ"], tok.Header["kid"] = "room+jwt", f.kid
	maps.Copy(tok.Header, header)
	text, err := tok.SignedString(key)
	if err != nil {
		f.as.t.Fatal(err)
	}
	return text
}

// newID is a jti that no token has.
func (as *accessServer) newID() string {
	as.t.Helper()
	_, c, err := as.tokens.Issue(token.Claims{Kind: token.Room, User: "user1", Room: "team", Permissions: []string{"join"}}, time.Minute)
	if err != nil {
		as.t.Fatal(err)
	}
	return c.ID
}
