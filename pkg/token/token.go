// Package token issues and verifies sigctl's own tokens: JWTs (RFC 7519) that
// are signed with Ed25519 (RFC 8037), live for minutes, and are good for one
// purpose each. The signaling server has one Authority:
//
//	authority, err := token.Open(ctx, token.FileKeys(path), token.NewMemorySpender(), nil)
//	…
//	text, claims, err := authority.Issue(token.Claims{
//		Kind: token.Room, User: "alice", Room: "lobby", Permissions: []string{protocol.PermJoin},
//	}, 5*time.Minute)
//	…
//	claims, err = authority.Verify(ctx, text, token.Room)
//	if err == nil {
//		err = authority.Spend(ctx, claims) // ErrReplayed the second time
//	}
//
// A KeyStore keeps the keys (a file, or Redis in pkg/redis), and a Spender
// remembers which room tokens were used (memory, or Redis). Package tokentest
// is the contract of both.
package token

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

const (
	// MaxLifetime is the longest that a token is good for.
	MaxLifetime = 15 * time.Minute
	// Leeway is by how much the clocks of two servers may differ: a token is
	// accepted this long before it begins and after it ends.
	Leeway = 30 * time.Second
	// MaxSession is the longest name of a sign-in, in bytes.
	MaxSession = 256
)

// Kind is what a token is good for. It is the header's typ (RFC 8725, section
// 3.11), and decides the audience.
type Kind string

const (
	Access Kind = "at+jwt"   // to join rooms over HTTP; aud is the issuer and "/api"
	Room   Kind = "room+jwt" // to enter one room over the WebSocket, once; aud is the issuer and "/ws"
)

// audience is the aud of the tokens of a kind.
func (k Kind) audience(issuer string) string {
	if k == Access {
		return issuer + "/api"
	}
	return issuer + "/ws"
}

// Claims is what a token says.
type Claims struct {
	Kind        Kind
	ID          string    // jti; made by Issue
	User        string    // sub; see protocol.ValidName
	Session     string    // sid: the sign-in that this descends from, MaxSession printable ASCII characters; if empty, Issue makes one
	Room        string    // Room tokens only
	Permissions []string  // perms, of Room tokens only: one or more of protocol.PermJoin and so on
	Issued      time.Time // iat and nbf, whole seconds; set by Issue
	Expires     time.Time // exp, whole seconds; set by Issue
	Key         string    // kid; set by Issue

	// After is for Issue alone: the token counts as issued in a later second
	// than this, if it is not zero. A revocation refuses all that was issued up
	// to the end of its second, and with its time here a token that is issued in
	// the rest of that second is good.
	After time.Time
}

// check tells what in c cannot be in a token.
func (c Claims) check() error {
	switch {
	case c.Kind != Access && c.Kind != Room:
		return fmt.Errorf("kind %.20q: it must be %q or %q", c.Kind, Access, Room)
	case !protocol.ValidName(c.User):
		return badName("sub", c.User)
	case c.Session == "" || len(c.Session) > MaxSession || strings.ContainsFunc(c.Session, notPrintable):
		return fmt.Errorf("sid %.80q: it takes 1 to %d printable ASCII characters", c.Session, MaxSession)
	case c.Kind == Access && (c.Room != "" || len(c.Permissions) > 0):
		return errors.New("an access token has no room and no perms")
	case c.Kind == Room && !protocol.ValidName(c.Room):
		return badName("room", c.Room)
	case c.Kind == Room:
		return checkPermissions(c.Permissions)
	}
	return nil
}

// notPrintable is wider than a name's rule: outside issuers name sign-ins, too.
func notPrintable(r rune) bool { return r <= ' ' || r > '~' }

func checkPermissions(perms []string) error {
	if len(perms) == 0 {
		return errors.New("perms is missing")
	}
	for i, perm := range perms {
		switch perm {
		case protocol.PermJoin, protocol.PermData, protocol.PermPublish, protocol.PermSubscribe:
		default:
			return fmt.Errorf("perms has %.20q: it takes %s, %s, %s and %s", perm,
				protocol.PermJoin, protocol.PermData, protocol.PermPublish, protocol.PermSubscribe)
		}
		if slices.Contains(perms[:i], perm) {
			return fmt.Errorf("perms has %q twice", perm)
		}
	}
	return nil
}

func badName(claim, value string) error {
	if value == "" {
		return fmt.Errorf("%s is missing", claim)
	}
	return fmt.Errorf("%s %.80q: it takes 1 to %d letters, digits and . _ @ + -", claim, value, protocol.MaxNameLen)
}

// Why a token is refused: each is an ErrInvalid, and comes with what is wrong in
// the case at hand. The texts are for the person who writes the client, and hold
// nothing that the token's bearer did not know. Use errors.Is.
var (
	ErrInvalid     = errors.New("invalid token")
	ErrMalformed   = invalid("malformed")
	ErrSignature   = invalid("the signature is wrong")
	ErrUnknownKey  = invalid("the key that signed it is not in use, or not any more: get a new token")
	ErrAlgorithm   = invalid("alg must be EdDSA")
	ErrIssuer      = invalid("it comes from another issuer")
	ErrKind        = invalid("it is for another purpose")
	ErrExpired     = invalid("expired")
	ErrNotYetValid = invalid("not yet valid")
	ErrReplayed    = invalid("a room token opens one session, and this one was used: join again for another")
	ErrBeforeStart = invalid("it is from before the server's start, so that its use may be forgotten: join again for another")
)

func invalid(text string) error { return fmt.Errorf("%w: %s", ErrInvalid, text) }
