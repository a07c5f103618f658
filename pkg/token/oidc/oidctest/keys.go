package oidctest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// NewKey makes a private key for RS256 (2048 bits), ES256 or EdDSA, with a random id.
func NewKey(t testing.TB, algorithm jose.SignatureAlgorithm) jose.JSONWebKey {
	t.Helper()
	var key any
	var err error
	switch algorithm {
	case jose.RS256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		t.Fatalf("no key for %s", algorithm)
	}
	if err != nil {
		t.Fatalf("make a key for %s: %v", algorithm, err)
	}
	return jose.JSONWebKey{Key: key, KeyID: rand.Text(), Algorithm: string(algorithm), Use: "sig"}
}

// Sign returns claims as a token signed by key, whose id it carries. The header takes what is in header, too.
func Sign(t testing.TB, key jose.JSONWebKey, claims any, header map[jose.HeaderKey]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatalf("sign claims: %v", err)
	}
	return SignBytes(t, key, payload, header)
}

// SignBytes is Sign of a payload that need not be JSON.
func SignBytes(t testing.TB, key jose.JSONWebKey, payload []byte, header map[jose.HeaderKey]any) string {
	t.Helper()
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key},
		&jose.SignerOptions{ExtraHeaders: header})
	if err != nil {
		t.Fatalf("sign with %s: %v", key.Algorithm, err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatalf("sign with %s: %v", key.Algorithm, err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatalf("sign with %s: %v", key.Algorithm, err)
	}
	return text
}
