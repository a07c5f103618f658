package token

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// Options configures an Authority. Zero fields mean the defaults.
type Options struct {
	// Issuer is the iss of the tokens. All servers that share a KeyStore need the
	// same. Default "sigctl".
	Issuer string
	// Logger gets changes of the keys, and failures to read them. Default: none.
	Logger *slog.Logger

	now func() time.Time // default time.Now
}

// Authority issues and verifies tokens. It is safe for concurrent use.
//
// It reads the keys again when they are used and were read 10 s ago or more, and
// for a token of an unknown key after 2 s already. So a key that another process
// made or removed counts here within seconds.
type Authority struct {
	// set at construction
	store  KeyStore
	spent  Spender
	issuer string
	log    *slog.Logger
	now    func() time.Time
	parser *jwt.Parser

	turn      chan struct{} // held by who reads or changes the store
	view      atomic.Pointer[view]
	complaint string // the fault of the store that was logged last; guarded by turn
}

// Open returns an Authority whose keys are in store, and makes the first if
// there is none. nil options mean the defaults.
func Open(ctx context.Context, keys KeyStore, spent Spender, opts *Options) (*Authority, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Issuer == "" {
		o.Issuer = "sigctl"
	}
	if len(o.Issuer) > 256 || !utf8.ValidString(o.Issuer) {
		return nil, errors.New("token issuer: it takes at most 256 bytes of UTF-8")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
	a := &Authority{
		store: keys, spent: spent, issuer: o.Issuer, log: o.Logger, now: o.now,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
			jwt.WithStrictDecoding(),
			jwt.WithIssuer(o.Issuer),
			jwt.WithExpirationRequired(), jwt.WithNotBeforeRequired(), jwt.WithIssuedAt(),
			jwt.WithLeeway(Leeway), jwt.WithTimeFunc(o.now),
		),
		turn: make(chan struct{}, 1),
	}
	a.view.Store(&view{})
	if err := a.Refresh(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// Issue signs a token of c that is good for ttl, one second to MaxLifetime. It
// returns the token, and the claims as they are in it: ID, Issued, Expires and
// Key are always its own, so the claims of one token can be those of the next.
func (a *Authority) Issue(c Claims, ttl time.Duration) (text string, issued Claims, err error) {
	if c.Session == "" {
		c.Session = rand.Text()
	}
	if err := c.check(); err != nil {
		return "", Claims{}, fmt.Errorf("issue token: %w", err)
	}
	if ttl < time.Second || ttl > MaxLifetime {
		return "", Claims{}, fmt.Errorf("issue token: lifetime %v: it takes 1s to %v", ttl, MaxLifetime)
	}
	now := a.now()
	c.Issued = now.UTC().Truncate(time.Second)
	if !c.After.IsZero() && !c.After.Before(c.Issued) {
		c.Issued = c.After.UTC().Truncate(time.Second).Add(time.Second)
	}
	if c.Issued.After(now.Add(Leeway)) {
		return "", Claims{}, fmt.Errorf("issue token: %s had everything revoked until %s, and it is %s: check the clocks",
			c.User, formatTime(c.After), formatTime(now))
	}
	c.After = time.Time{}
	c.Expires = c.Issued.Add(ttl).Truncate(time.Second)
	// A clock that was set back must not make what is issued now look older than
	// the Spender.
	c.ID = newID(later(now, a.spent.Since()))

	key := a.keys()[0]
	c.Key = key.ID
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, newPayload(c, a.issuer))
	t.Header["typ"], t.Header["kid"] = string(c.Kind), key.ID
	text, err = t.SignedString(key.private())
	return text, c, err
}

// A jti is the time in nanoseconds and 64 random bits. iat would not do to tell
// the tokens from before a start from those after it: it has whole seconds, so
// of the second of the start it would let in a token that was used before, or
// keep out one that was issued after. What remains is a clock that is set back
// while the server is down: tokens of the time that it repeats are good again.
const idLen = 16

func newID(now time.Time) string {
	var id [idLen]byte
	binary.BigEndian.PutUint64(id[:], uint64(now.UnixNano()))
	rand.Read(id[8:]) // never fails
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// idTime is when the token of this jti was issued.
func idTime(jti string) (time.Time, error) {
	id, err := base64.RawURLEncoding.Strict().DecodeString(jti)
	if err != nil || len(id) != idLen {
		return time.Time{}, errors.New("jti is not one of this issuer's")
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(id))), nil
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
