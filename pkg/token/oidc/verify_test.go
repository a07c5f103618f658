package oidc

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/token/oidc/oidctest"
)

type claims = map[string]any

func TestVerify(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(string(alg), func(t *testing.T) {
			d := newDesk(t, Config{})
			d.issuer.Use(oidctest.NewKey(t, alg))
			now := time.Now().Truncate(time.Second)
			text := d.issuer.Token(claims{
				"sub": "alice", "groups": []string{"staff", "", "ops"}, "jti": "t1",
				"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
			})
			got, err := d.Verify(t.Context(), text)
			want := Identity{
				User: "alice", Groups: []string{"staff", "ops"}, Source: "oidc:" + d.issuer.URL, ID: "t1",
				Issued: now, Expires: now.Add(time.Hour),
			}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("Verify: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// said is a token that is signed well, and right or wrong in what it says.
type said struct {
	name   string
	cfg    Config
	claims claims // beside those that make it a token of alice
	user   string // accepted as
	err    error  // or refused
}

func verifyAll(t *testing.T, tests []said) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, tt.cfg)
			if tt.err != nil {
				d.wantError(d.alice(tt.claims), tt.err)
			} else {
				d.wantUser(d.alice(tt.claims), tt.user)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	verifyAll(t, []said{
		{"plain", Config{}, claims{}, "alice", nil},

		{"expired", Config{}, claims{"exp": at(-time.Minute)}, "", ErrExpired},
		{"expired within the leeway", Config{}, claims{"exp": at(-10 * time.Second)}, "alice", nil},
		{"never expires", Config{}, claims{"exp": nil}, "", ErrMalformed},
		{"expires in text", Config{}, claims{"exp": "2030-01-01"}, "", ErrMalformed},
		{"expires after all calendars", Config{}, claims{"exp": 1e12}, "", ErrMalformed},
		{"expires beyond int64", Config{}, claims{"exp": 1e300}, "", ErrMalformed},
		{"not yet valid", Config{}, claims{"nbf": at(time.Minute)}, "", ErrNotYetValid},
		{"not yet valid within the leeway", Config{}, claims{"nbf": at(10 * time.Second)}, "alice", nil},
		{"issued in the future", Config{}, claims{"iat": at(time.Minute)}, "", ErrNotYetValid},
		{"issued before 1970", Config{}, claims{"iat": -1e15}, "", ErrMalformed},
		{"no time of issue", Config{}, claims{"iat": nil}, "alice", nil},
	})
}

func TestIssuerAndAudience(t *testing.T) {
	verifyAll(t, []said{
		{"another issuer", Config{}, claims{"iss": "https://other.example.com"}, "", ErrIssuer},
		{"no issuer", Config{}, claims{"iss": nil}, "", ErrIssuer},

		{"another audience", Config{}, claims{"aud": "other"}, "", ErrAudience},
		{"audience in another case", Config{}, claims{"aud": strings.ToUpper(oidctest.Audience)}, "", ErrAudience},
		{"one of several audiences", Config{}, claims{"aud": []string{"other", oidctest.Audience}}, "alice", nil},
		{"none of several audiences", Config{}, claims{"aud": []string{"other", "third"}}, "", ErrAudience},
		{"no audiences", Config{}, claims{"aud": []string{}}, "", ErrAudience},
		{"no audience", Config{}, claims{"aud": nil}, "", ErrAudience},
		{"audience is a number", Config{}, claims{"aud": 7}, "", ErrMalformed},
		{"client_id without token_use", Config{}, claims{"aud": nil, "client_id": oidctest.Audience}, "", ErrAudience},
	})
}

func TestCognito(t *testing.T) {
	verifyAll(t, []said{
		{"Cognito access token", Config{}, cognito("access"), "alice", nil},
		{"Cognito access token of another client", Config{}, with(cognito("access"), claims{"client_id": "other"}), "", ErrAudience},
		{"Cognito access token with another aud", Config{}, with(cognito("access"), claims{"aud": "other"}), "", ErrAudience},
		{"Cognito access token with empty aud", Config{}, with(cognito("access"), claims{"aud": []string{}}), "", ErrAudience},
		{"Cognito id token", Config{}, claims{"token_use": "id"}, "", ErrTokenUse},
		{"token_use is a list", Config{}, claims{"token_use": []string{"access"}}, "", ErrTokenUse},
	})
}

func TestUser(t *testing.T) {
	long := strings.Repeat("x", protocol.MaxNameLen+1)
	verifyAll(t, []said{
		{"no user", Config{}, claims{"sub": nil}, "", ErrUser},
		{"empty user", Config{}, claims{"sub": ""}, "", ErrUser},
		{"user with a slash", Config{}, claims{"sub": "a/b"}, "", ErrUser},
		{"user not ASCII", Config{}, claims{"sub": "älice"}, "", ErrUser},
		{"user too long", Config{}, claims{"sub": long}, "", ErrUser},
		{"subject is a number", Config{}, claims{"sub": 7}, "", ErrMalformed},
		{"another claim for the user", Config{UserClaim: "username"}, claims{"username": "bob"}, "bob", nil},
		{"another claim is missing", Config{UserClaim: "username"}, claims{}, "", ErrUser},
		{"another claim is a list", Config{UserClaim: "username"}, claims{"username": []string{"bob"}}, "", ErrUser},
		{"another claim in another case", Config{UserClaim: "username"}, claims{"Username": "bob"}, "", ErrUser},
	})
}

func TestEmail(t *testing.T) {
	verifyAll(t, []said{
		{"e-mail verified", Config{UserClaim: "email"}, claims{"email": "a@b.c", "email_verified": true}, "a@b.c", nil},
		{"e-mail verified, as Cognito says it", Config{UserClaim: "email"}, claims{"email": "a@b.c", "email_verified": "true"}, "a@b.c", nil},
		{"e-mail not verified", Config{UserClaim: "email"}, claims{"email": "a@b.c", "email_verified": false}, "", ErrUser},
		{"e-mail not verified, as Cognito says it", Config{UserClaim: "email"}, claims{"email": "a@b.c", "email_verified": "false"}, "", ErrUser},
		{"e-mail verified is not said", Config{UserClaim: "email"}, claims{"email": "a@b.c"}, "", ErrUser},
		{"e-mail verified is a number", Config{UserClaim: "email"}, claims{"email": "a@b.c", "email_verified": 1}, "", ErrUser},
		{"e-mail of the subject", Config{}, claims{"email": "a@b.c", "email_verified": false}, "alice", nil},
	})
}

// cognito has what sets Amazon Cognito's tokens apart.
func cognito(use string) claims {
	return claims{"aud": nil, "client_id": oidctest.Audience, "token_use": use, "username": "alice"}
}

func with(a, b claims) claims {
	a = maps.Clone(a)
	maps.Copy(a, b)
	return a
}

func TestGroups(t *testing.T) {
	many := make([]string, maxGroups+1)
	for i := range many {
		many[i] = "g"
	}
	long := strings.Repeat("g", maxGroupLen)
	tests := []struct {
		name   string
		groups any
		want   []string
		err    string // in the text of ErrMalformed
	}{
		{"one", "staff", []string{"staff"}, ""},
		{"empty", "", nil, ""},
		{"none", []string{}, nil, ""},
		{"missing", nil, nil, ""},
		{"null", json.RawMessage("null"), nil, ""},
		{"as many as can be", many[1:], many[1:], ""},
		{"too many", many, nil, "257 groups, at most 256"},
		{"as long as can be", []string{long}, []string{long}, ""},
		{"too long", []string{long + "g"}, nil, "257 bytes, at most 256"},
		{"one too long", long + "g", nil, "257 bytes, at most 256"},
		{"a number", 7, nil, "neither a string nor an array"},
		{"numbers", []int{7}, nil, "neither a string nor an array"},
		{"an object", claims{"staff": true}, nil, "neither a string nor an array"},
	}
	d := newDesk(t, Config{GroupsClaim: "cognito:groups"})
	for _, tt := range tests {
		got, err := d.Verify(t.Context(), d.alice(claims{"cognito:groups": tt.groups}))
		if tt.err == "" {
			if diff := cmp.Diff(tt.want, got.Groups); err != nil || diff != "" {
				t.Errorf("%s: %v (-want +got):\n%s", tt.name, err, diff)
			}
		} else if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %v, %v, want ErrMalformed with %q", tt.name, got, err, tt.err)
		}
	}
}

// refused is a text that is no good token, and why not.
type refused struct {
	name, text string
	want       error
}

func (d *desk) refuseAll(t *testing.T, tests []refused) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &desk{d.Verifier, t, d.clock, d.issuer}
			d.wantError(tt.text, tt.want)
		})
	}
}

// payload is what a good token of alice says.
func (d *desk) payload() []byte { return encode(d.t, d.issuer.Claims(claims{"sub": "alice"})) }

func TestMalformed(t *testing.T) {
	d := newDesk(t, Config{})
	own, payload, good := d.issuer.Key(), d.payload(), d.alice(nil)
	part := strings.Split(good, ".")
	d.refuseAll(t, []refused{
		{"empty", "", ErrMalformed},
		{"no token", "hello", ErrMalformed},
		{"two parts", part[0] + "." + part[1], ErrMalformed},
		{"four parts", good + ".", ErrMalformed},
		{"not base64", good + "!", ErrMalformed},
		{"JSON serialization", `{"payload":"` + part[1] + `","protected":"` + part[0] + `","signature":"` + part[2] + `"}`, ErrMalformed},
		{"oversized", good + strings.Repeat("A", protocol.MaxTokenLen), ErrMalformed},
		{"header is not JSON", unsigned("ES256", string(payload), "x"), ErrMalformed},
		{"payload is not JSON", oidctest.SignBytes(t, own, []byte("alice"), nil), ErrMalformed},
		{"payload is an array", oidctest.SignBytes(t, own, []byte("[]"), nil), ErrMalformed},
		{"payload is null", oidctest.SignBytes(t, own, []byte("null"), nil), ErrIssuer},
		{"a claim twice", oidctest.SignBytes(t, own, []byte(`{"sub":"bob",`+string(payload[1:])), nil), ErrMalformed},
	})
}

// TestForged has tokens that say the right things, and did not come from the issuer like that.
func TestForged(t *testing.T) {
	d := newDesk(t, Config{})
	rsaKey := oidctest.NewKey(t, jose.RS256)
	d.issuer.Publish(rsaKey.Public())
	own := d.issuer.Key()
	payload, good := d.payload(), d.alice(nil)
	part := strings.Split(good, ".")
	other := strings.Split(d.alice(claims{"sub": "bob"}), ".")
	sign := func(key jose.JSONWebKey, header map[jose.HeaderKey]any) string {
		return oidctest.SignBytes(t, key, payload, header)
	}
	stranger := oidctest.NewKey(t, jose.ES256)
	pretender := stranger
	pretender.KeyID = own.KeyID
	nameless := stranger
	nameless.KeyID = ""

	d.refuseAll(t, []refused{
		{"alg none", unsigned(`{"alg":"none"}`, string(payload), ""), ErrSignature},
		{"alg None", unsigned(`{"alg":"None"}`, string(payload), ""), ErrSignature},
		{"no alg", unsigned(`{}`, string(payload), ""), ErrSignature},
		{"HS256 with the public key as DER", sign(hs256(t, rsaKey, false), nil), ErrSignature},
		{"HS256 with the public key as PEM", sign(hs256(t, rsaKey, true), nil), ErrSignature},
		{"RS384 with an RS256 key", sign(as(rsaKey, jose.RS384), nil), ErrSignature},
		{"PS256 with an RS256 key", sign(as(rsaKey, jose.PS256), nil), ErrSignature},
		{"RS256 under the id of an ES256 key", sign(renamed(rsaKey, own.KeyID), nil), ErrSignature},

		{"unknown kid", sign(stranger, nil), ErrSignature},
		{"another's key under the issuer's kid", sign(pretender, nil), ErrSignature},
		{"another's key without kid", sign(nameless, nil), ErrSignature},
		{"key in the token", sign(nameless, map[jose.HeaderKey]any{"jwk": stranger.Public()}), ErrSignature},
		{"key at an address", sign(nameless, map[jose.HeaderKey]any{"jku": "https://127.0.0.1:1/keys"}), ErrSignature},
		{"payload of another token", part[0] + "." + other[1] + "." + part[2], ErrSignature},
		{"no signature", part[0] + "." + part[1] + ".", ErrSignature},
		{"signature cut", good[:len(good)-8], ErrSignature},
		{"signature of zeros", unsigned(`{"alg":"ES256","kid":"`+own.KeyID+`"}`, string(payload), strings.Repeat("\x00", 64)), ErrSignature},
		{"critical header", sign(own, map[jose.HeaderKey]any{"crit": []string{"exp"}, "exp": 1}), ErrSignature},

		{"logout token", sign(own, map[jose.HeaderKey]any{"typ": "logout+jwt"}), ErrTokenUse},
		{"type is a number", sign(own, map[jose.HeaderKey]any{"typ": 7}), ErrTokenUse},
	})
	for _, typ := range []string{"JWT", "jwt", "at+jwt", "application/at+jwt"} {
		d.wantUser(sign(own, map[jose.HeaderKey]any{"typ": typ}), "alice")
	}
	own.KeyID = ""
	d.wantUser(sign(own, nil), "alice")
	d.wantUser(sign(rsaKey, nil), "alice")
}

// TestUnknownKeyText: who holds a token of a key that was rotated out learns what to do.
func TestUnknownKeyText(t *testing.T) {
	d := newDesk(t, Config{})
	text := d.alice(nil)
	d.issuer.Rotate()
	if _, err := d.Verify(t.Context(), text); err == nil || !strings.Contains(err.Error(), "sign in there again") {
		t.Errorf("Verify: got %v, want the hint to sign in again", err)
	}
}

// TestErrorsTellNothing: what a refused token says is not repeated to who presented it.
func TestErrorsTellNothing(t *testing.T) {
	const secret = "Zq7secret"
	d := newDesk(t, Config{UserClaim: "email"})
	for _, text := range []string{
		secret,
		unsigned(`{"alg":"`+secret+`"}`, `{}`, ""),
		d.issuer.Token(claims{"iss": secret}),
		d.issuer.Token(claims{"aud": secret}),
		d.issuer.Token(claims{"exp": secret}),
		d.issuer.Token(claims{"token_use": secret}),
		d.issuer.Token(claims{"email": secret + "/"}),
		d.issuer.Token(claims{"email": secret}),
		d.issuer.Token(claims{"email": secret, "email_verified": true, "groups": []any{secret, 7}}),
		d.issuer.Token(claims{"email": secret, "email_verified": true, "groups": strings.Repeat(secret, 40)}),
	} {
		_, err := d.Verify(t.Context(), text)
		if !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), secret) {
			t.Errorf("Verify: got %v, want a refusal without %q", err, secret)
		}
	}
}

// hs256 is the key of who takes an issuer's public key for a shared secret.
func hs256(t *testing.T, key jose.JSONWebKey, asPEM bool) jose.JSONWebKey {
	t.Helper()
	secret, err := x509.MarshalPKIXPublicKey(key.Key.(*rsa.PrivateKey).Public())
	if err != nil {
		t.Fatal(err)
	}
	if asPEM {
		secret = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: secret})
	}
	return jose.JSONWebKey{Key: secret, KeyID: key.KeyID, Algorithm: string(jose.HS256)}
}

func as(key jose.JSONWebKey, algorithm jose.SignatureAlgorithm) jose.JSONWebKey {
	key.Algorithm = string(algorithm)
	return key
}

func renamed(key jose.JSONWebKey, id string) jose.JSONWebKey {
	key.KeyID = id
	return key
}
