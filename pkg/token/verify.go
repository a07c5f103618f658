package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// Verify returns what a token of this kind says. It is good until Claims.Expires,
// and for a Leeway more. A room token that is to open a session has to be spent,
// too. Every error is an ErrInvalid.
//
// ctx bounds how long a token of an unknown key waits for the KeyStore.
func (a *Authority) Verify(ctx context.Context, text string, kind Kind) (Claims, error) {
	h, err := readHeader(text)
	if err != nil {
		return Claims{}, err
	}
	if h.Type != string(kind) {
		return Claims{}, fmt.Errorf("%w: typ is %.20q, and has to be %q here", ErrKind, h.Type, kind)
	}
	key, ok := a.key(ctx, h.Key)
	if !ok {
		return Claims{}, ErrUnknownKey
	}
	var p payload
	if _, err := a.parser.ParseWithClaims(text, &p, func(*jwt.Token) (any, error) { return key.public(), nil }); err != nil {
		return Claims{}, a.parseFault(err, &p)
	}
	return a.claims(&p, kind, key)
}

// claims checks what the parser leaves to us.
func (a *Authority) claims(p *payload, kind Kind, key Key) (Claims, error) {
	if audience := kind.audience(a.issuer); !slices.Equal(p.Audience, []string{audience}) {
		return Claims{}, fmt.Errorf("%w: aud is %.80q, and has to be %q here", ErrKind, p.Audience, audience)
	}
	if p.IssuedAt == nil {
		return Claims{}, malformed(errors.New("iat is missing"))
	}
	if ttl := p.ExpiresAt.Sub(p.IssuedAt.Time); ttl <= 0 || ttl > MaxLifetime {
		return Claims{}, malformed(fmt.Errorf("exp has to be within %v after iat", MaxLifetime))
	}
	c := Claims{
		Kind: kind, ID: p.ID, User: p.Subject, Session: p.Session, Room: p.Room, Permissions: p.Permissions,
		Issued: p.IssuedAt.UTC(), Expires: p.ExpiresAt.UTC(), Key: key.ID,
	}
	if err := c.check(); err != nil {
		return Claims{}, malformed(err)
	}
	issued, err := idTime(c.ID)
	if err != nil {
		return Claims{}, malformed(err)
	}
	if kind == Room && issued.Before(a.spent.Since()) {
		return Claims{}, ErrBeforeStart
	}
	return c, nil
}

// parseFaults says what the parser's errors are here. The first that fits counts.
var parseFaults = []struct{ parser, ours error }{
	{jwt.ErrTokenSignatureInvalid, ErrSignature},
	{jwt.ErrTokenInvalidIssuer, ErrIssuer},
	{jwt.ErrTokenExpired, ErrExpired},
	{jwt.ErrTokenNotValidYet, ErrNotYetValid},
	{jwt.ErrTokenUsedBeforeIssued, ErrNotYetValid},
}

func (a *Authority) parseFault(err error, p *payload) error {
	for _, f := range parseFaults {
		if !errors.Is(err, f.parser) {
			continue
		}
		if f.ours == ErrExpired || f.ours == ErrNotYetValid {
			return timeFault(f.ours, dateOf(p.NotBefore), dateOf(p.ExpiresAt), a.now())
		}
		return f.ours
	}
	return malformed(err)
}

func timeFault(fault error, from, to, now time.Time) error {
	return fmt.Errorf("%w: it is good from %s to %s, and here it is %s", fault, formatTime(from), formatTime(to), formatTime(now))
}

func dateOf(d *jwt.NumericDate) time.Time {
	if d == nil {
		return time.Time{}
	}
	return d.Time
}

func malformed(err error) error { return fmt.Errorf("%w: %w", ErrMalformed, err) }

// IssuedHere reports whether a token says that it is from this issuer, which
// only Verify can confirm. It tells whom to ask about a token.
func (a *Authority) IssuedHere(text string) bool {
	if len(text) > protocol.MaxTokenLen {
		return false
	}
	_, rest, _ := strings.Cut(text, ".")
	segment, _, _ := strings.Cut(rest, ".")
	var p payload
	return decodeSegment(segment, &p) == nil && p.Issuer == a.issuer
}
