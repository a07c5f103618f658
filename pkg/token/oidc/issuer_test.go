package oidc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sigctl/sigctl/pkg/token/oidc/oidctest"
)

func TestConfig(t *testing.T) {
	const https = "https://login.example.com/realm"
	tests := []struct {
		issuer, audience string
		want             string // in the error; empty: none
	}{
		{https, "a", ""},
		{https + "/", "a", ""},
		{"http://127.0.0.1:8080", "a", ""},
		{"http://[::1]:8080", "a", ""},
		{"http://localhost", "a", ""},
		{"", "a", "issuer: not a URL"},
		{"login.example.com", "a", "issuer: not a URL"},
		{"https://", "a", "issuer: not a URL"},
		{"https://:443", "a", "issuer: not a URL"},
		{"https://%zz", "a", "issuer: not a URL"},
		{"http://login.example.com", "a", "issuer: must be https"},
		{"http://localhost.example.com", "a", "issuer: must be https"},
		{"ftp://login.example.com", "a", "issuer: must be https"},
		{"https://user:password@login.example.com", "a", "issuer: has a user"},
		{https + "?realm=a", "a", "issuer: has a query"},
		{https + "?", "a", "issuer: has a query"},
		{https + "#a", "a", "issuer: has a user or a fragment"},
		{https, "", "audience is missing"},
	}
	for _, tt := range tests {
		v, err := New(&Config{Issuer: tt.issuer, Audience: tt.audience})
		if tt.want == "" {
			if err != nil || v.Issuer() != tt.issuer {
				t.Errorf("New(%q, %q): got %v, want its issuer unchanged", tt.issuer, tt.audience, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "password") {
			t.Errorf("New(%q, %q): got %v, want an error with %q", tt.issuer, tt.audience, err, tt.want)
		}
	}
	_, err := New(&Config{})
	if err == nil || !strings.Contains(err.Error(), "issuer") || !strings.Contains(err.Error(), "audience") {
		t.Errorf("New without anything: got %v, want both faults", err)
	}
}

func TestPlainIssuer(t *testing.T) {
	issuer := oidctest.NewPlain(t)
	d := openDesk(t, issuer, Config{Issuer: issuer.URL, Audience: oidctest.Audience})
	d.wantUser(d.alice(nil), "alice")
}

// TestLazy: nothing is fetched before a token needs it, and then once.
func TestLazy(t *testing.T) {
	d := newDesk(t, Config{})
	for _, tt := range []struct {
		name string
		do   func()
		want int
	}{
		{"no token", func() {}, 0},
		{"a token of another issuer", func() { d.wantError(d.alice(claims{"iss": "https://x"}), ErrIssuer) }, 0},
		{"the first token", func() { d.wantUser(d.alice(nil), "alice") }, 2},
		{"the second token", func() { d.wantUser(d.alice(nil), "alice") }, 0},
	} {
		if got := d.fetchesOf(tt.do); got != tt.want {
			t.Errorf("%s: got %d requests to the issuer, want %d", tt.name, got, tt.want)
		}
	}
}

func TestRotation(t *testing.T) {
	d := newDesk(t, Config{})
	old := d.alice(nil)
	d.wantUser(old, "alice")

	d.clock.advance(fetchPause)
	d.issuer.Rotate()
	d.wantUser(old, "alice") // nobody has asked for the new keys yet
	d.wantUser(d.alice(nil), "alice")
	d.wantError(old, ErrSignature)
}

// TestRotatedOut: a key that is published no more is found out in time, without a token of the new one.
func TestRotatedOut(t *testing.T) {
	d := newDesk(t, Config{})
	old := d.issuer.Token(claims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()})
	d.wantUser(old, "alice")
	d.issuer.Rotate()
	d.clock.advance(maxAge)
	d.wantError(old, ErrSignature)
}

// TestUnknownKids: made-up key ids cause one fetch in a pause, and do not hinder others.
func TestUnknownKids(t *testing.T) {
	d := newDesk(t, Config{})
	d.wantUser(d.alice(nil), "alice")
	forged := func() string {
		return oidctest.Sign(t, renamed(d.issuer.Key(), rand.Text()), d.issuer.Claims(claims{"sub": "alice"}), nil)
	}
	flood := func() {
		for range 100 {
			d.wantError(forged(), ErrSignature)
		}
		d.wantUser(d.alice(nil), "alice")
	}
	if got := d.fetchesOf(flood); got != 0 {
		t.Errorf("in the pause after a fetch: got %d requests to the issuer, want none", got)
	}
	d.clock.advance(fetchPause)
	if got := d.fetchesOf(flood); got != 2 {
		t.Errorf("after the pause: got %d requests to the issuer, want 2", got)
	}
}

func TestDown(t *testing.T) {
	d := newDesk(t, Config{})
	d.issuer.Down(true)
	d.wantError(d.alice(nil), ErrUnavailable)
	d.issuer.Down(false)
	if got := d.fetchesOf(func() { d.wantError(d.alice(nil), ErrUnavailable) }); got != 0 {
		t.Errorf("in the pause after a failure: got %d requests to the issuer, want none", got)
	}
	d.clock.advance(fetchPause)
	d.wantUser(d.alice(nil), "alice")

	d.issuer.Down(true)
	d.clock.advance(maxAge + time.Minute)
	d.wantUser(d.issuer.Token(claims{"sub": "alice", "exp": d.clock.now().Add(time.Hour).Unix()}), "alice")
	d.issuer.Rotate()
	d.wantError(d.alice(nil), ErrUnavailable)
}

// TestOutageLog: an outage is logged when it begins and when it ends.
func TestOutageLog(t *testing.T) {
	var log bytes.Buffer
	d := newDesk(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	ask := func(times int) {
		for range times {
			d.Verify(t.Context(), d.alice(nil))
			d.clock.advance(fetchPause)
			d.issuer.Rotate()
		}
	}
	ask(3)
	d.issuer.Down(true)
	ask(3)
	d.issuer.Down(false)
	ask(3)
	d.Close()
	var got []string
	for line := range strings.Lines(log.String()) {
		_, line, _ = strings.Cut(line, "level=")
		level, _, _ := strings.Cut(line, " ")
		got = append(got, level)
	}
	if want := []string{"INFO", "WARN", "INFO"}; !slices.Equal(got, want) {
		t.Errorf("log: got %v, want %v:\n%s", got, want, &log)
	}
}

func TestUnavailableText(t *testing.T) {
	d := newDesk(t, Config{})
	d.issuer.Down(true)
	_, err := d.Verify(t.Context(), d.alice(nil))
	if err == nil || !strings.Contains(err.Error(), d.issuer.URL) || !strings.Contains(err.Error(), "try again") {
		t.Errorf("got %v, want an error that names %s and says what to do", err, d.issuer.URL)
	}
	if err != nil && strings.Contains(err.Error(), "EOF") {
		t.Errorf("got %v, want an error without the cause", err)
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("is the cause in %v? got false, want true", err)
	}
}

// TestMisbehaving has issuers that answer as none should. The fault is in the log, for the operator.
func TestMisbehaving(t *testing.T) {
	elsewhere := oidctest.New(t)
	huge := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer": %q}`, bytes.Repeat([]byte("x"), maxAnswer))
	})
	withoutTLS := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		redirectTo("http://"+r.Host+r.URL.Path).ServeHTTP(w, r)
	})
	tests := []struct {
		name, path string
		answer     http.Handler
		want       string // in the log
	}{
		{"discovery fails", oidctest.DiscoveryPath, status(503), "503 Service Unavailable"},
		{"discovery is text", oidctest.DiscoveryPath, text("hello"), "decode"},
		{"discovery is huge", oidctest.DiscoveryPath, huge, "longer than 1048576 bytes"},
		{"discovery is elsewhere", oidctest.DiscoveryPath, redirectTo(elsewhere.URL + oidctest.DiscoveryPath), "is not followed"},
		{"discovery is without TLS", oidctest.DiscoveryPath, withoutTLS, "is not followed"},
		{"discovery goes round", oidctest.DiscoveryPath, redirectTo(oidctest.DiscoveryPath), "more than 5 redirects"},
		{"discovery is another's", oidctest.DiscoveryPath, text(`{"issuer":"https://other.example.com","jwks_uri":"` + elsewhere.URL + `/keys"}`), "did not match"},
		{"discovery is a long other's", oidctest.DiscoveryPath, text(`{"issuer":"` + strings.Repeat("x", 10_000) + `"}`), "did not match"},
		{"discovery names no keys", oidctest.DiscoveryPath, own(`{"issuer":"ISSUER"}`), "jwks_uri"},
		{"keys without TLS", oidctest.DiscoveryPath, own(`{"issuer":"ISSUER","jwks_uri":"http://127.0.0.1/keys"}`), "must be https"},
		{"keys in a file", oidctest.DiscoveryPath, own(`{"issuer":"ISSUER","jwks_uri":"file:///etc/passwd"}`), "jwks_uri"},
		{"keys fail", oidctest.KeysPath, status(404), "404 Not Found"},
		{"keys are text", oidctest.KeysPath, text("hello"), "not a JWK set"},
		{"keys are missing", oidctest.KeysPath, text("{}"), "not a JWK set"},
		{"keys are huge", oidctest.KeysPath, huge, "longer than 1048576 bytes"},
		{"keys are many", oidctest.KeysPath, text(`{"keys":[{}` + strings.Repeat(",{}", maxKeys) + `]}`), "101 keys, at most 100"},
		{"keys are elsewhere", oidctest.KeysPath, redirectTo(elsewhere.URL + oidctest.KeysPath), "is not followed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			d := newDesk(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			d.issuer.Answer(tt.path, tt.answer)
			d.wantError(d.alice(nil), ErrUnavailable)
			d.Close() // who wrote the log has ended
			if got := log.String(); !strings.Contains(got, tt.want) || !strings.Contains(got, "level=WARN") || len(got) > 2000 {
				t.Errorf("log: got %.2000q, want a warning with %q", got, tt.want)
			}
		})
	}
	if got := elsewhere.Fetches(); got != 0 {
		t.Errorf("the other host was asked %d times, want never", got)
	}
}

func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, strings.Repeat("x", 10_000), code)
	})
}

func text(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) })
}

// own is text in which ISSUER is the URL of who answers.
func own(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.ReplaceAll(body, "ISSUER", "https://"+r.Host))
	})
}

func TestRedirectOnTheSameHost(t *testing.T) {
	d := newDesk(t, Config{})
	d.issuer.Answer("/moved", own(`{"issuer":"ISSUER","jwks_uri":"ISSUER/keys"}`))
	d.issuer.Answer(oidctest.DiscoveryPath, redirectTo("/moved"))
	d.wantUser(d.alice(nil), "alice")
}

// TestSlow: who waits for an issuer that does not answer can leave, and Close ends what is left.
func TestSlow(t *testing.T) {
	d := newDesk(t, Config{})
	asked, end := make(chan struct{}), make(chan struct{})
	d.issuer.Answer(oidctest.DiscoveryPath, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done() // the verifier has hung up
		close(end)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	_, err := d.Verify(ctx, d.alice(nil))
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Verify: got %v, want ErrUnavailable and context.Canceled", err)
	}
	d.Close()
	<-end
	d.wantError(d.alice(nil), ErrUnavailable)
}

// TestKeysLeftOut: a set may hold keys that are no use to us; the others are taken.
func TestKeysLeftOut(t *testing.T) {
	rsaKey := func(bits int) jose.JSONWebKey {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return jose.JSONWebKey{Key: k, KeyID: fmt.Sprint(bits), Algorithm: string(jose.RS256)}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := oidctest.NewKey(t, jose.ES256)
	changed := func(change func(*jose.JSONWebKey)) jose.JSONWebKey {
		k := good
		change(&k)
		return k.Public()
	}
	weak := rsaKey(1024)
	tests := map[string]any{
		"RSA of 1024 bits":       weak.Public(),
		"P-384":                  jose.JSONWebKey{Key: &p384.PublicKey},
		"for another algorithm":  changed(func(k *jose.JSONWebKey) { k.Algorithm = "ES384" }),
		"for encryption":         changed(func(k *jose.JSONWebKey) { k.Use = "enc" }),
		"private":                good,
		"a secret":               jose.JSONWebKey{Key: []byte("0123456789abcdef0123456789abcdef")},
		"of an unknown type":     claims{"kty": "XYZ"},
		"of an unknown curve":    claims{"kty": "OKP", "crv": "Ed448", "x": "AAAA"},
		"not on the curve":       claims{"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
		"a string":               "key",
		"null":                   nil,
		"Ed25519 of three bytes": claims{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
	}
	d := newDesk(t, Config{})
	for name, k := range tests {
		body := encode(t, claims{"keys": []any{k, changed(func(*jose.JSONWebKey) {})}})
		keys, ignored, err := parseKeys(body)
		if len(keys) != 1 || ignored != 1 || err != nil {
			t.Errorf("%s: got %d keys, %d ignored, %v, want one each", name, len(keys), ignored, err)
		}
		d.issuer.Publish(k)
	}
	d.wantError(oidctest.Sign(t, weak, d.issuer.Claims(claims{"sub": "alice"}), nil), ErrSignature)
	d.wantUser(d.alice(nil), "alice")
}
