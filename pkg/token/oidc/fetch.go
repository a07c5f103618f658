package oidc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	maxAnswer    = 1 << 20  // bytes of one answer, unpacked
	maxHeaders   = 64 << 10 // bytes of an answer's header
	maxKeys      = 100      // in one set
	maxRedirects = 5
	minRSABits   = 2048
)

// source is where an issuer publishes its keys. Each fetch begins with the discovery document, which may name
// another place than it did before.
type source struct {
	issuer string
	client *http.Client
}

func newSource(issuer string, client *http.Client) *source {
	c := http.Client{}
	if client != nil {
		c = *client
	}
	if c.Transport == nil {
		// Minutes pass between fetches: no connection is kept for them.
		c.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
			DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeaders,
		}
	}
	c.Transport = bounded{c.Transport}
	c.CheckRedirect = checkRedirect
	return &source{issuer: issuer, client: &c}
}

// fetch returns the keys that the issuer publishes now, and how many of them are of no use.
func (s *source) fetch(ctx context.Context) (keys []key, ignored int, err error) {
	address, err := s.discover(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("discover: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch keys: %w", err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch keys: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch keys: %w", err)
	}
	if keys, ignored, err = parseKeys(body); err != nil {
		return nil, 0, fmt.Errorf("read keys of %s: %w", address, err)
	}
	return keys, ignored, nil
}

// discover returns where the keys are. The library checks that the document is of this very issuer.
func (s *source) discover(ctx context.Context) (string, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, s.client), s.issuer)
	if err != nil {
		return "", err
	}
	var document struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&document); err != nil {
		return "", err
	}
	if err := checkURL(document.Keys, strings.HasPrefix(s.issuer, "http:")); err != nil {
		return "", fmt.Errorf("jwks_uri %.200q: %w", document.Keys, err)
	}
	return document.Keys, nil
}

// bounded answers with a redirect, or with success and a body that is there already.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return nil, fmt.Errorf("the answer is %.80q", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// checkRedirect lets nobody send us elsewhere: that would let others speak for the issuer, and reach what only
// this machine can.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if from := via[0].URL; req.URL.Host != from.Host || req.URL.Scheme != from.Scheme {
		return fmt.Errorf("redirect to %s://%.80s is not followed: it is not %s://%s", req.URL.Scheme, req.URL.Host, from.Scheme, from.Host)
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

// parseKeys reads a JWK set (RFC 7517, section 5) and leaves out the keys that we do not accept.
func parseKeys(body []byte) (keys []key, ignored int, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, 0, fmt.Errorf("not a JWK set: %w", err)
	}
	if set.Keys == nil {
		return nil, 0, errors.New("not a JWK set: it has no keys")
	}
	if len(set.Keys) > maxKeys {
		return nil, 0, fmt.Errorf("%d keys, at most %d are accepted", len(set.Keys), maxKeys)
	}
	for _, raw := range set.Keys {
		var jwk jose.JSONWebKey
		if jwk.UnmarshalJSON(raw) != nil || !acceptable(jwk) {
			ignored++
			continue
		}
		keys = append(keys, key{jwk.KeyID, algorithm(jwk.Key), jwk.Key})
	}
	return keys, ignored, nil
}

// acceptable reports whether a key is for signatures in one of our algorithms.
func acceptable(k jose.JSONWebKey) bool {
	alg := algorithm(k.Key)
	return alg != "" && (k.Algorithm == "" || k.Algorithm == string(alg)) && (k.Use == "" || k.Use == "sig")
}

// algorithm is the one that a key's type fixes; empty: none of ours, or the key is weak.
func algorithm(public any) jose.SignatureAlgorithm {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= minRSABits {
			return jose.RS256
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return jose.ES256
		}
	case ed25519.PublicKey:
		return jose.EdDSA
	}
	return ""
}
