package oidc

import (
	"errors"
	"fmt"
)

// ErrInvalid is in every refusal of a token.
var ErrInvalid = errors.New("token refused")

// Why a token is refused. The texts are for who presented it, and have nothing of the token in them. Some come
// with a detail: use errors.Is.
var (
	ErrMalformed   = fmt.Errorf("%w: it is malformed", ErrInvalid)
	ErrIssuer      = fmt.Errorf("%w: it is from another issuer than this server accepts", ErrInvalid)
	ErrSignature   = fmt.Errorf("%w: its signature does not hold", ErrInvalid)
	ErrExpired     = fmt.Errorf("%w: it has expired; sign in at the issuer again", ErrInvalid)
	ErrNotYetValid = fmt.Errorf("%w: it is not valid yet; if it was issued just now, a clock is wrong", ErrInvalid)
	ErrAudience    = fmt.Errorf("%w: it was issued for another application", ErrInvalid)
	ErrTokenUse    = fmt.Errorf("%w: it is of another kind; present an access token", ErrInvalid)
	ErrUser        = fmt.Errorf("%w: it does not give a user name that can be used here", ErrInvalid)
)

// ErrUnavailable means that nobody can say whether a token is good, since the issuer's keys cannot be had. It is
// not in ErrInvalid. The error's text names the issuer; the cause is in the log, and in the error for errors.Is.
var ErrUnavailable = errors.New("issuer unavailable")

// unavailable keeps its cause, which tells of the server's network, out of the text.
type unavailable struct {
	issuer string
	cause  error
}

func (e unavailable) Error() string {
	return fmt.Sprintf("issuer %s cannot be asked for its keys: try again in a minute; if that does not help, the server's log says why", e.issuer)
}

func (e unavailable) Unwrap() []error { return []error{ErrUnavailable, e.cause} }
