package oidc

import (
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sigctl/sigctl/pkg/protocol"
)

const (
	leeway      = 30 * time.Second // between the issuer's clock and ours
	maxGroups   = 256
	maxGroupLen = 256  // bytes
	maxYear     = 9999 // what a time may be: the last that RFC 3339 can write
)

// identity reads a token whose signature holds.
func (v *Verifier) identity(t *token) (Identity, error) {
	if err := t.checkTime(v.now()); err != nil {
		return Identity{}, err
	}
	if err := t.checkUse(); err != nil {
		return Identity{}, err
	}
	if err := t.checkAudience(v.audience); err != nil {
		return Identity{}, err
	}
	user, err := t.user(v.userClaim)
	if err != nil {
		return Identity{}, err
	}
	groups, err := t.groups(v.groupsClaim)
	if err != nil {
		return Identity{}, err
	}
	return Identity{
		User: user, Groups: groups, Source: "oidc:" + v.issuer, ID: t.ID,
		Issued: t.IssuedAt.Time(), Expires: t.Expiry.Time(),
	}, nil
}

func (t *token) checkTime(now time.Time) error {
	if t.Expiry == nil {
		return fmt.Errorf("%w: it never expires", ErrMalformed)
	}
	if t.Expiry.Time().Year() > maxYear || t.IssuedAt != nil && *t.IssuedAt < 0 {
		return fmt.Errorf("%w: its times are before 1970 or after %d", ErrMalformed, maxYear)
	}
	switch err := t.ValidateWithLeeway(jwt.Expected{Time: now}, leeway); err {
	case nil:
		return nil
	case jwt.ErrExpired:
		return ErrExpired
	default: // nbf or iat is in the future
		return ErrNotYetValid
	}
}

// checkUse refuses what is not for access: Cognito says so in a claim, others in the header.
func (t *token) checkUse() error {
	if _, says := t.all["token_use"]; says && !t.isCognitoAccess() || !t.isBearer() {
		return ErrTokenUse
	}
	return nil
}

func (t *token) isCognitoAccess() bool {
	use, _ := t.text("token_use")
	return use == "access"
}

// checkAudience takes Cognito's client_id for the audience that its access tokens lack.
func (t *token) checkAudience(want string) error {
	if t.Audience.Contains(want) {
		return nil
	}
	_, has := t.all["aud"]
	if client, _ := t.text("client_id"); !has && t.isCognitoAccess() && client == want {
		return nil
	}
	return ErrAudience
}

func (t *token) user(claim string) (string, error) {
	name, ok := t.text(claim)
	if !ok {
		return "", fmt.Errorf("%w: %q is missing", ErrUser, claim)
	}
	if !protocol.ValidName(name) {
		return "", fmt.Errorf("%w: %q must be 1 to %d letters, digits and . _ @ + -", ErrUser, claim, protocol.MaxNameLen)
	}
	if claim == "email" && !t.emailVerified() {
		return "", fmt.Errorf("%w: the e-mail address is not verified; do that at the issuer", ErrUser)
	}
	return name, nil
}

// emailVerified accepts the string that Cognito sends for a boolean.
func (t *token) emailVerified() bool {
	verified := string(t.all["email_verified"])
	return verified == `true` || verified == `"true"`
}

// groups are none where the claim is missing or null. Empty ones are left out.
func (t *token) groups(claim string) ([]string, error) {
	raw, ok := t.all[claim]
	if !ok {
		return nil, nil
	}
	var list []string
	if one, ok := t.text(claim); ok {
		list = []string{one}
	} else if json.Unmarshal(raw, &list) != nil {
		return nil, fmt.Errorf("%w: %q is neither a string nor an array of strings", ErrMalformed, claim)
	}
	if len(list) > maxGroups {
		return nil, fmt.Errorf("%w: %q has %d groups, at most %d are accepted", ErrMalformed, claim, len(list), maxGroups)
	}
	var groups []string
	for _, group := range list {
		if len(group) > maxGroupLen {
			return nil, fmt.Errorf("%w: %q has a group of %d bytes, at most %d are accepted", ErrMalformed, claim, len(group), maxGroupLen)
		}
		if group != "" {
			groups = append(groups, group)
		}
	}
	return groups, nil
}
