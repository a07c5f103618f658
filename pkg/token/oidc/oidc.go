// Package oidc verifies tokens of an outside issuer that speaks OpenID Connect: Keycloak, Entra ID, Google,
// Amazon Cognito, and others. It is for who lets people in: the server makes one Verifier per issuer and asks it
// about each bearer token.
//
//	verifier, err := oidc.New(&oidc.Config{Issuer: "https://login.example.com", Audience: "sigctl"})
//	…
//	defer verifier.Close()
//	identity, err := verifier.Verify(ctx, bearer)
//	switch {
//	case errors.Is(err, oidc.ErrUnavailable): // 503: nobody can say yet
//	case err != nil:                          // 401: err tells its bearer why
//	}
//
// Where a token goes: parse (length, form, algorithm) → issuer → keySet (the issuer's keys, fetched when one is
// needed) → claims. Nothing is fetched for a token of another issuer, and nothing but the issuer is believed
// before the signature holds.
package oidc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config says whose tokens are accepted, and what is read from them.
type Config struct {
	// Issuer is the issuer's URL, exactly as its tokens and its discovery document write it, a final slash
	// included. It is https; http is accepted for a loopback host. Required.
	Issuer string
	// Audience is what a token must be meant for: one of its "aud", or the "client_id" of a Cognito access
	// token. Required.
	Audience string
	// UserClaim is the claim with the user's name, case-sensitive; default "sub". With "email" a token must also
	// say "email_verified". Whoever can choose the claim's value at the issuer can be any user: most issuers let
	// people edit "preferred_username" and "name" themselves.
	UserClaim string
	// GroupsClaim is the claim with the user's groups, an array of strings or one string; default "groups".
	// Cognito's is "cognito:groups". It is a name at the top of the token, not a path.
	GroupsClaim string

	// Client fetches from the issuer; nil: one that trusts the system's roots and uses the environment's proxy.
	// Its redirects, the size of answers and the time they may take are bounded in any case.
	Client *http.Client
	// Logger is told when the issuer stops or begins to answer; nil: nobody is.
	Logger *slog.Logger
}

// Identity is what a verified token says.
type Identity struct {
	User   string   // a valid name, see protocol.ValidName
	Groups []string // at most 256, of at most 256 bytes each
	Source string   // "oidc:" and the issuer
	ID     string   // the token's "jti"; empty: it has none
	// Issued is the token's "iat", zero if it has none: then it counts as issued before anything else.
	Issued  time.Time
	Expires time.Time // up to 30 s ago, the leeway for clocks that differ
}

// Verifier verifies the tokens of one issuer. Its methods are safe for concurrent use.
type Verifier struct {
	// set at construction
	issuer      string
	audience    string
	userClaim   string
	groupsClaim string
	keys        *keySet
	now         func() time.Time
}

// New returns a verifier. It joins all that is wrong with cfg into one error, but does not ask the issuer: a
// server starts while its issuer is down, and finds it with the first token that arrives later.
func New(cfg *Config) (*Verifier, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Verifier{
		issuer:      cfg.Issuer,
		audience:    cfg.Audience,
		userClaim:   cmp.Or(cfg.UserClaim, "sub"),
		groupsClaim: cmp.Or(cfg.GroupsClaim, "groups"),
		keys:        newKeySet(newSource(cfg.Issuer, cfg.Client).fetch, log.With("issuer", cfg.Issuer)),
		now:         time.Now,
	}, nil
}

func (cfg *Config) validate() error {
	var faults []error
	if err := checkURL(cfg.Issuer, true); err != nil {
		faults = append(faults, fmt.Errorf("issuer: %w", err))
	} else if strings.Contains(cfg.Issuer, "?") {
		faults = append(faults, errors.New("issuer: has a query"))
	}
	if cfg.Audience == "" {
		faults = append(faults, errors.New("audience is missing: it is what the issuer's tokens for this server have in \"aud\""))
	}
	return errors.Join(faults...)
}

// checkURL accepts the https URLs that can name an issuer or its keys, and http ones of this machine if loopback
// is set (OpenID Connect Discovery 1.0, section 3).
func checkURL(address string, loopback bool) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("not a URL")
	case u.Hostname() == "":
		return errors.New("not a URL with a host, such as https://login.example.com")
	case u.User != nil || u.Fragment != "":
		return errors.New("has a user or a fragment")
	case u.Scheme == "https", u.Scheme == "http" && loopback && isLoopback(u.Hostname()):
		return nil
	case u.Scheme == "http" && loopback:
		return errors.New("must be https; http is for a loopback host only")
	}
	return errors.New("must be https")
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// Issuer is the URL of Config.Issuer.
func (v *Verifier) Issuer() string { return v.issuer }

// Verify checks a token and returns what it says. A refusal wraps ErrInvalid and one of the errors beside it.
// ErrUnavailable means that the issuer's keys could not be had: the token may be good. Verify waits for the
// issuer only where it must, at most 10 s, and never when the token's key was seen in the last 5 minutes.
func (v *Verifier) Verify(ctx context.Context, text string) (Identity, error) {
	t, err := parse(text)
	if err != nil {
		return Identity{}, err
	}
	if t.Issuer != v.issuer {
		return Identity{}, ErrIssuer
	}
	keys, err := v.keys.candidates(ctx, t.kid())
	if err != nil {
		return Identity{}, unavailable{v.issuer, err}
	}
	if err := t.verify(keys); err != nil {
		return Identity{}, err
	}
	return v.identity(t)
}

// Close ends a fetch under way and waits for it. Afterwards Verify knows only the keys that it has.
func (v *Verifier) Close() error {
	v.keys.close()
	return nil
}
