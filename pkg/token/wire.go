package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// header is the JOSE header (RFC 7515, section 4). Of the members that name or
// hold a key, jwk, jku, x5c, x5u, it knows none: a kid is looked up among the
// keys there are, and nothing else is done with it.
type header struct {
	Algorithm, Type, Key string
	critical             any
}

func (h *header) UnmarshalJSON(text []byte) error {
	return decodeObject(text, map[string]any{"alg": &h.Algorithm, "typ": &h.Type, "kid": &h.Key, "crit": &h.critical})
}

// readHeader reads the header of a token, and decides what can be decided by it
// alone. It is before the parser because that would keep the last of two members
// of one name.
func readHeader(text string) (header, error) {
	if len(text) > protocol.MaxTokenLen {
		return header{}, malformed(fmt.Errorf("it is longer than %d bytes", protocol.MaxTokenLen))
	}
	if strings.Count(text, ".") != 2 {
		return header{}, malformed(errors.New("a token has three parts with dots between them"))
	}
	if strings.ContainsAny(text, "\r\n") { // which encoding/base64 skips
		return header{}, malformed(errors.New("it has line breaks"))
	}
	segment, _, _ := strings.Cut(text, ".")
	var h header
	if err := decodeSegment(segment, &h); err != nil {
		return header{}, malformed(fmt.Errorf("header: %w", err))
	}
	switch {
	case h.Algorithm != jwt.SigningMethodEdDSA.Alg():
		return header{}, fmt.Errorf("%w, and is %.20q", ErrAlgorithm, h.Algorithm)
	case h.Key == "":
		return header{}, malformed(errors.New("header: kid is missing"))
	case h.critical != nil:
		return header{}, malformed(errors.New("header: crit names what is unknown here"))
	}
	return h, nil
}

// payload is the claims as they are written.
type payload struct {
	jwt.RegisteredClaims
	Session     string   `json:"sid"`
	Room        string   `json:"room,omitempty"`
	Permissions []string `json:"perms,omitempty"`
}

func newPayload(c Claims, issuer string) *payload {
	return &payload{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuer,
			Subject:   c.User,
			Audience:  jwt.ClaimStrings{c.Kind.audience(issuer)},
			ExpiresAt: jwt.NewNumericDate(c.Expires),
			NotBefore: jwt.NewNumericDate(c.Issued),
			IssuedAt:  jwt.NewNumericDate(c.Issued),
			ID:        c.ID,
		},
		Session: c.Session, Room: c.Room, Permissions: c.Permissions,
	}
}

func (p *payload) UnmarshalJSON(text []byte) error {
	return decodeObject(text, map[string]any{
		"iss": &p.Issuer, "sub": &p.Subject, "aud": &p.Audience, "exp": &p.ExpiresAt, "nbf": &p.NotBefore, "iat": &p.IssuedAt,
		"jti": &p.ID, "sid": &p.Session, "room": &p.Room, "perms": &p.Permissions,
	})
}

func decodeSegment(segment string, into json.Unmarshaler) error {
	text, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return errors.New("not base64url")
	}
	return into.UnmarshalJSON(text)
}

// decodeObject reads a JSON object into members, and skips those it does not
// have. encoding/json alone would let "SUB" through as "sub", and the second of
// two members of one name (RFC 8725, section 2.4; RFC 7515, section 4).
func decodeObject(text []byte, members map[string]any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return errors.New("not JSON")
		}
		if seen[name] {
			return fmt.Errorf("%.20q is there twice", name)
		}
		seen[name] = true
		into := members[name]
		if into == nil {
			into = new(json.RawMessage)
		}
		if err := d.Decode(into); err != nil {
			return fmt.Errorf("%.20q has a value of the wrong type", name)
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("not JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON object")
	}
	return nil
}
