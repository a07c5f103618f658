// Package oidctest is an OpenID Connect issuer for tests: discovery, keys, tokens, and the ways in which an issuer
// can fail.
//
//	issuer := oidctest.New(t)
//	verifier, err := oidc.New(&oidc.Config{Issuer: issuer.URL, Audience: oidctest.Audience, Client: issuer.Client()})
//	…
//	text := issuer.Token(map[string]any{"sub": "alice"})
//	issuer.Rotate() // from now on text's key is not published
//
// A program under test is pointed to the URL of NewPlain, which needs no certificate.
package oidctest

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Audience is what an issuer's tokens are for, if their claims do not say otherwise.
const Audience = "sigctl-test"

// Paths at which an issuer answers.
const (
	DiscoveryPath = "/.well-known/openid-configuration"
	KeysPath      = "/keys"
)

// Issuer is a running issuer. It begins with one key, ES256. Its methods are safe for concurrent use.
type Issuer struct {
	URL string // as its tokens and its discovery document have it

	// set at construction
	t      testing.TB
	server *httptest.Server

	// guarded by mu
	mu      sync.Mutex
	signer  jose.JSONWebKey // signs
	keys    []any           // what is published, as JSON
	down    bool
	instead map[string]http.Handler // by path
	fetches int
}

// New starts an issuer with TLS, which ends with the test. Its certificate is known to Client alone.
func New(t testing.TB) *Issuer { return start(t, (*httptest.Server).StartTLS) }

// NewPlain starts an issuer without TLS on 127.0.0.1, which ends with the test.
func NewPlain(t testing.TB) *Issuer { return start(t, (*httptest.Server).Start) }

func start(t testing.TB, listen func(*httptest.Server)) *Issuer {
	i := &Issuer{t: t, instead: map[string]http.Handler{}}
	i.server = httptest.NewUnstartedServer(http.HandlerFunc(i.serve))
	listen(i.server)
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL
	i.Rotate()
	return i
}

// Client returns one that trusts the issuer's certificate.
func (i *Issuer) Client() *http.Client { return i.server.Client() }

// Token returns a token with these claims. Those that are missing are filled in: iss, aud, iat (now) and exp (in
// 5 minutes). A claim that is nil is left out.
func (i *Issuer) Token(claims map[string]any) string {
	i.t.Helper()
	return Sign(i.t, i.Key(), i.Claims(claims), nil)
}

// Claims returns what Token would sign.
func (i *Issuer) Claims(claims map[string]any) map[string]any {
	now := time.Now()
	all := map[string]any{"iss": i.URL, "aud": Audience, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	return all
}

// Key returns the private key that signs now, with its id.
func (i *Issuer) Key() jose.JSONWebKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.signer
}

// Rotate makes a fresh key of the same algorithm the only one: it signs, and the old ones are not published any
// more.
func (i *Issuer) Rotate() {
	i.t.Helper()
	algorithm := jose.SignatureAlgorithm(i.Key().Algorithm)
	if algorithm == "" {
		algorithm = jose.ES256
	}
	i.Use(NewKey(i.t, algorithm))
}

// Use makes a private key the only one.
func (i *Issuer) Use(key jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.signer, i.keys = key, []any{key.Public()}
}

// Publish adds to the published keys, as JSON that need not be a key. Nothing signs with them.
func (i *Issuer) Publish(keys ...any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, keys...)
}

// Down makes the issuer cut every connection that comes, or ends that.
func (i *Issuer) Down(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// Answer lets h answer at a path in the issuer's place; nil ends that.
func (i *Issuer) Answer(path string, h http.Handler) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.instead[path] = h
}

// Fetches returns how many requests have come, answered or not. Who looks for keys makes two: for the discovery
// document, and for the keys.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.fetches++
	down, instead, keys := i.down, i.instead[r.URL.Path], i.keys
	i.mu.Unlock()
	switch {
	case down:
		panic(http.ErrAbortHandler) // which net/http takes for: cut the connection
	case instead != nil:
		instead.ServeHTTP(w, r)
	case r.URL.Path == DiscoveryPath:
		write(w, document(i.URL))
	case r.URL.Path == KeysPath:
		write(w, map[string]any{"keys": keys})
	default:
		http.NotFound(w, r)
	}
}

// document returns the discovery document of the issuer with this URL.
func document(url string) map[string]any {
	return map[string]any{
		"issuer":                                url,
		"jwks_uri":                              url + KeysPath,
		"authorization_endpoint":                url + "/authorize",
		"token_endpoint":                        url + "/token",
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "EdDSA"},
	}
}

func write(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value) // who asked may be gone
}
