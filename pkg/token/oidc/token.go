package oidc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// algorithms are those that a signature may have. Which of them a key verifies is fixed by its type.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}

// token is a parsed token, not to be believed before verify.
type token struct {
	jwt.Claims // the registered ones
	all        map[string]json.RawMessage
	signed     *jose.JSONWebSignature
}

// parse reads a token in compact form (RFC 7515, section 7.1). The library's JSON is used throughout: it knows
// "Sub" from "sub" and refuses a claim that comes twice.
func parse(text string) (*token, error) {
	if len(text) > protocol.MaxTokenLen {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrMalformed, protocol.MaxTokenLen)
	}
	signed, err := jose.ParseSignedCompact(text, algorithms)
	if _, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		return nil, fmt.Errorf("%w: it must be signed with RS256, ES256 or EdDSA", ErrSignature)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: it must be a signed JWT", ErrMalformed)
	}
	t := &token{signed: signed}
	payload := signed.UnsafePayloadWithoutVerification()
	if json.Unmarshal(payload, &t.Claims) != nil || json.Unmarshal(payload, &t.all) != nil {
		return nil, fmt.Errorf("%w: its claims cannot be read", ErrMalformed)
	}
	return t, nil
}

func (t *token) header() jose.Header { return t.signed.Signatures[0].Protected }

// kid is the id of the key that is said to have signed; empty: not said.
func (t *token) kid() string { return t.header().KeyID }

// verify accepts a signature by one of the keys, in the algorithm of that key.
func (t *token) verify(keys []key) error {
	if len(keys) == 0 {
		return fmt.Errorf("%w: the issuer has no such key, or not any more; sign in there again", ErrSignature)
	}
	for _, k := range keys {
		if string(k.algorithm) != t.header().Algorithm {
			continue
		}
		if _, err := t.signed.Verify(k.public); err == nil {
			return nil
		}
	}
	return ErrSignature
}

// isBearer reports whether the header's type is one that says who somebody is. An issuer signs more than that
// with the same keys: logout tokens, events, proofs (RFC 8725, section 3.11).
func (t *token) isBearer() bool {
	header, typed := t.header().ExtraHeaders[jose.HeaderType]
	if !typed {
		return true
	}
	typ, _ := header.(string)
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return typ == "jwt" || typ == "at+jwt"
}

// text is a claim that is a string; otherwise ok is false.
func (t *token) text(claim string) (s string, ok bool) {
	raw, ok := t.all[claim]
	if !ok || len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return s, json.Unmarshal(raw, &s) == nil
}
