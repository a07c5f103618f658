package signal

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/certs"
	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/token"
	"github.com/sigctl/sigctl/pkg/token/oidc"
	"github.com/sigctl/sigctl/pkg/user"
)

// identity is who somebody has proved to be, and how.
type identity struct {
	user    string
	groups  []string
	method  string    // "password", "certificate", "token", or an outside issuer's "oidc:…"
	session string    // the sign-in that a token descends from
	source  string    // to which the name has to belong; empty: it is known that it does
	issued  time.Time // of an outside token
	expires time.Time // of the proof; zero: never

	claims *token.Claims // of a room token: what it is good for
}

// tokenID is the jti of the room token, if it is one.
func (id identity) tokenID() string {
	if id.claims == nil {
		return ""
	}
	return id.claims.ID
}

// refusal is why somebody is not let in: what they are told, and what only log and
// audit get.
type refusal struct {
	told protocol.Error
	why  string
	kind audit.Kind // zero: that of what was tried
}

func (r *refusal) Error() string { return r.told.Error() }
func (r *refusal) Unwrap() error { return r.told }

func refuse(code protocol.Code, text, why string) *refusal {
	return &refusal{told: protocol.Error{Code: code, Message: text}, why: why}
}

// byPassword lets nobody guess: neither here nor at the HTTP API nor at both.
func (s *Server) byPassword(ctx context.Context, from netip.Addr, name, password string) (id identity, err error) {
	id.method = "password"
	attempt, err := s.cfg.Throttle.Begin(ctx, name, from)
	if wait, ok := errors.AsType[limit.Wait](err); ok {
		r := refuse(protocol.CodeRateLimited, wait.Error(), "too many failed logins")
		r.told.RetryAfter = wait.Seconds()
		return id, r
	}
	if err != nil {
		return id, err
	}
	defer attempt.Undecided()
	switch err = s.cfg.Users.Authenticate(ctx, name, password, attempt.Client()); {
	case err == nil:
		attempt.Succeeded()
		id.user = name
	case errors.Is(err, user.ErrBadCredentials):
		attempt.Failed()
		return id, refuse(protocol.CodeBadCredentials, "wrong user name or password", "wrong user name or password")
	case errors.Is(err, user.ErrBusy):
		r := refuse(protocol.CodeBusy, "the server is busy, try again later", "too many logins at once")
		r.told.RetryAfter = loginRetry
		return id, r
	}
	return id, err
}

// byCertificate is for connections whose TLS has verified a client certificate.
func byCertificate(c *certs.Client) identity {
	return identity{user: c.User, method: "certificate", source: c.Source, expires: c.Expires}
}

// byRoomToken does not spend the token.
func (s *Server) byRoomToken(ctx context.Context, text string) (identity, error) {
	if s.cfg.Tokens == nil {
		return identity{}, refuse(protocol.CodeBadCredentials, "this server takes no tokens", "no tokens here")
	}
	return s.byOwnToken(ctx, text, token.Room)
}

// byBearer takes an access token of ours, or one of the outside issuer.
func (s *Server) byBearer(ctx context.Context, text string) (identity, error) {
	if s.cfg.Outside == nil || s.cfg.Tokens.IssuedHere(text) {
		return s.byOwnToken(ctx, text, token.Access)
	}
	out, err := s.cfg.Outside.Verify(ctx, text)
	if err != nil {
		return identity{}, outsideRefusal(err)
	}
	return identity{
		user: out.User, groups: out.Groups, method: out.Source, source: out.Source, issued: out.Issued, expires: out.Expires,
	}, nil
}

func (s *Server) byOwnToken(ctx context.Context, text string, kind token.Kind) (identity, error) {
	c, err := s.cfg.Tokens.Verify(ctx, text, kind)
	if err != nil {
		return identity{}, tokenRefusal(err)
	}
	id := identity{user: c.User, method: "token", session: c.Session, expires: c.Expires}
	if kind == token.Room {
		id.claims = &c
	}
	owner, err := s.cfg.Names.Get(ctx, c.User)
	if errors.Is(err, user.ErrNotFound) {
		return id, refuse(protocol.CodeTokenExpired, "the token is revoked: its user is gone", "user deleted")
	}
	if err != nil {
		return id, fmt.Errorf("look up user: %w", err)
	}
	return id, notRevoked(owner.ValidAfter(), c.Issued)
}

// claim makes sure that the name is the source's. It comes after the policy: a name
// is not for those who may do nothing under it.
func (s *Server) claim(ctx context.Context, id identity) error {
	if id.source == "" {
		return nil
	}
	owner, err := s.cfg.Names.Claim(ctx, id.user, id.source)
	if errors.Is(err, user.ErrSource) {
		return refuse(protocol.CodeForbidden, "the name "+id.user+" belongs to somebody else", err.Error())
	}
	if err != nil {
		return fmt.Errorf("claim name: %w", err)
	}
	if id.method == "certificate" { // which its CA revokes
		return nil
	}
	return notRevoked(owner.Revoked, id.issued)
}

// notRevoked refuses what was issued before its user was kicked, or the name was
// given to another. What does not say when is older than any of that.
func notRevoked(until, issued time.Time) error {
	if until.IsZero() || issued.After(until) {
		return nil
	}
	return refuse(protocol.CodeTokenExpired, "the token is revoked: sign in again", "token revoked")
}

func tokenRefusal(err error) error {
	r := refuse(protocol.CodeBadCredentials, err.Error(), err.Error())
	switch {
	case errors.Is(err, token.ErrBusy):
		r.told.Code, r.told.RetryAfter = protocol.CodeBusy, loginRetry
	case !errors.Is(err, token.ErrInvalid):
		return err // not the token's fault
	case errors.Is(err, token.ErrExpired):
		r.told.Code = protocol.CodeTokenExpired
	case errors.Is(err, token.ErrReplayed), errors.Is(err, token.ErrBeforeStart):
		r.told.Code, r.kind = protocol.CodeTokenReplayed, audit.TokenReplayed
	}
	return r
}

func outsideRefusal(err error) error {
	r := refuse(protocol.CodeBadCredentials, err.Error(), err.Error())
	switch {
	case errors.Is(err, oidc.ErrUnavailable):
		r.told.Code, r.told.Message, r.told.RetryAfter = protocol.CodeBusy, "tokens cannot be checked at the moment, try again", 5
	case !errors.Is(err, oidc.ErrInvalid):
		return err
	case errors.Is(err, oidc.ErrExpired):
		r.told.Code = protocol.CodeTokenExpired
	}
	return r
}

func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
