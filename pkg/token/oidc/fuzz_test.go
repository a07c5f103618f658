package oidc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/token/oidc/oidctest"
)

const fuzzIssuer = "https://login.example.com"

// newFuzzed returns a verifier with these keys, which needs no network.
func newFuzzed(f *testing.F, cfg Config, keys ...jose.JSONWebKey) *Verifier {
	cfg.Issuer, cfg.Audience = fuzzIssuer, oidctest.Audience
	v, err := New(&cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { v.Close() })
	v.keys = newKeySet(fixed(keys...), slog.New(slog.DiscardHandler)) // the old one has done nothing yet
	return v
}

// fuzzKeys are the same in all of a fuzzer's processes, as is what they sign.
func fuzzKeys(f *testing.F) (eddsa, es256 jose.JSONWebKey) {
	seed := bytes.Repeat([]byte("k"), 32)
	p256, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed)
	if err != nil {
		f.Fatal(err)
	}
	eddsa = jose.JSONWebKey{Key: ed25519.NewKeyFromSeed(seed), KeyID: "a", Algorithm: string(jose.EdDSA)}
	es256 = jose.JSONWebKey{Key: p256, KeyID: "b", Algorithm: string(jose.ES256)}
	return eddsa, es256
}

func fuzzPayload(f *testing.F, add claims) []byte {
	return encode(f, with(claims{
		"iss": fuzzIssuer, "aud": oidctest.Audience, "sub": "alice", "groups": []string{"staff"},
		"iat": 1_700_000_000, "exp": 4_000_000_000,
	}, add))
}

// FuzzVerify: whatever comes is refused, but for what the issuer signed.
func FuzzVerify(f *testing.F) {
	eddsa, es256 := fuzzKeys(f)
	payload := fuzzPayload(f, nil)
	v := newFuzzed(f, Config{}, eddsa, es256)
	signed := map[string]bool{} // headers and payloads
	for _, k := range []jose.JSONWebKey{eddsa, es256} {
		text := oidctest.SignBytes(f, k, payload, nil)
		if _, err := v.Verify(f.Context(), text); err != nil {
			f.Fatalf("the issuer's own token: %v", err)
		}
		signed[text[:strings.LastIndexByte(text, '.')]] = true
		f.Add(text)
	}
	for _, header := range []string{
		`{"alg":"none"}`,
		`{"alg":"HS256","kid":"a"}`,
		`{"alg":"EdDSA","kid":"c"}`,
		`{"alg":"ES256","kid":"a","typ":"JWT","crit":["b64"],"b64":false}`,
		`{"alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"AAAA"},"x5c":["AAAA"]}`,
	} {
		f.Add(unsigned(header, string(payload), strings.Repeat("x", 64)))
	}
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := v.Verify(t.Context(), text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("Verify(%q): got %v, want it in ErrInvalid", text, err)
			}
			return
		}
		text = strings.NewReplacer("\r", "", "\n", "").Replace(text) // which base64 passes over
		if !signed[text[:strings.LastIndexByte(text, '.')]] {
			t.Errorf("Verify(%q): got %+v, want a refusal: nobody signed this", text, got)
		}
	})
}

// FuzzClaims: whatever the issuer signs, an identity has a valid user and is within bounds.
func FuzzClaims(f *testing.F) {
	k, _ := fuzzKeys(f)
	verifiers := []*Verifier{newFuzzed(f, Config{}, k), newFuzzed(f, Config{UserClaim: "email"}, k)}
	for _, add := range []claims{
		nil,
		{"email": "a@b.c", "email_verified": true},
		{"email": "a@b.c", "email_verified": "true", "jti": "1"},
		{"email": "a@b.c", "email_verified": false},
		{"aud": []string{"a", oidctest.Audience}, "groups": "staff", "nbf": 1.5},
		{"client_id": oidctest.Audience, "token_use": "access"},
		{"exp": 1e300, "iat": -1, "sub": 7, "groups": []int{7}},
	} {
		f.Add(fuzzPayload(f, add))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		text := oidctest.SignBytes(t, k, payload, nil)
		for _, v := range verifiers {
			got, err := v.Verify(t.Context(), text)
			if err != nil {
				if !errors.Is(err, ErrInvalid) {
					t.Errorf("got %v, want it in ErrInvalid", err)
				}
				continue
			}
			if !protocol.ValidName(got.User) || len(got.Groups) > maxGroups || got.Expires.Before(time.Now().Add(-leeway)) {
				t.Errorf("got %+v, want a valid user, few groups and an end to come", got)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Errorf("got %+v, which is not JSON: %v", got, err)
			}
		}
	})
}

// FuzzKeys: whatever an issuer publishes, the keys that are taken can be used.
func FuzzKeys(f *testing.F) {
	eddsa, es256 := fuzzKeys(f)
	strangers := map[jose.SignatureAlgorithm]*token{}
	for _, alg := range algorithms {
		t, err := parse(unsigned(`{"alg":"`+string(alg)+`"}`, "{}", strings.Repeat("\x01", 64)))
		if err != nil {
			f.Fatal(err)
		}
		strangers[alg] = t
	}
	for _, k := range []jose.JSONWebKey{eddsa, es256} {
		f.Add(encode(f, claims{"keys": []any{k.Public(), k}}))
	}
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"Ed25519","x":""},null,7]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"` + strings.Repeat("_", 342) + `","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, ignored, err := parseKeys(body)
		if len(keys)+ignored > maxKeys || err != nil && keys != nil {
			t.Errorf("parseKeys(%q): got %d keys, %d ignored, %v", body, len(keys), ignored, err)
		}
		for _, k := range keys {
			if strangers[k.algorithm].verify([]key{k}) == nil {
				t.Errorf("parseKeys(%q): key %q verifies a stranger's token", body, k.id)
			}
		}
	})
}
