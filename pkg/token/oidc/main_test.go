package oidc

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/sigctl/sigctl/pkg/token/oidc/oidctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock runs with the real one, ahead of it by what it was advanced.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// desk is where tokens of an issuer are verified.
type desk struct {
	*Verifier
	t      *testing.T
	clock  *clock
	issuer *oidctest.Issuer
}

// newDesk verifies tokens of a new issuer. What cfg leaves out is filled in.
func newDesk(t *testing.T, cfg Config) *desk {
	t.Helper()
	issuer := oidctest.New(t)
	cfg.Issuer, cfg.Client = issuer.URL, issuer.Client()
	if cfg.Audience == "" {
		cfg.Audience = oidctest.Audience
	}
	return openDesk(t, issuer, cfg)
}

func openDesk(t *testing.T, issuer *oidctest.Issuer, cfg Config) *desk {
	t.Helper()
	verifier, err := New(&cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() { verifier.Close() })
	d := &desk{Verifier: verifier, t: t, clock: new(clock), issuer: issuer}
	verifier.now, verifier.keys.now = d.clock.now, d.clock.now
	return d
}

// alice is a token of hers; claims are added to it.
func (d *desk) alice(claims map[string]any) string {
	all := map[string]any{"sub": "alice"}
	maps.Copy(all, claims)
	return d.issuer.Token(all)
}

func (d *desk) wantUser(text, user string) {
	d.t.Helper()
	got, err := d.Verify(d.t.Context(), text)
	if err != nil || got.User != user {
		d.t.Errorf("Verify: got user %q, %v, want %q", got.User, err, user)
	}
}

func (d *desk) wantError(text string, want error) {
	d.t.Helper()
	got, err := d.Verify(d.t.Context(), text)
	if !errors.Is(err, want) {
		d.t.Errorf("Verify: got %+v, %v, want %v", got, err, want)
	}
	if refused := want != ErrUnavailable; errors.Is(err, ErrInvalid) != refused {
		d.t.Errorf("Verify: is %v in ErrInvalid? got %t, want %t", err, !refused, refused)
	}
}

// fetchesOf counts the requests that the issuer gets while do runs.
func (d *desk) fetchesOf(do func()) int {
	before := d.issuer.Fetches()
	do()
	return d.issuer.Fetches() - before
}

// unsigned is a token with this header and payload, and a signature that is text.
func unsigned(header, payload, signature string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(header)) + "." + b64([]byte(payload)) + "." + b64([]byte(signature))
}

// fixed is an issuer that answers every fetch with the public part of these keys.
func fixed(keys ...jose.JSONWebKey) func(context.Context) ([]key, int, error) {
	var set []key
	for _, k := range keys {
		set = append(set, key{k.KeyID, jose.SignatureAlgorithm(k.Algorithm), k.Public().Key})
	}
	return func(context.Context) ([]key, int, error) { return set, 0, nil }
}

func redirectTo(url string) http.Handler { return http.RedirectHandler(url, http.StatusFound) }
