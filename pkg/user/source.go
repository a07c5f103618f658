package user

import (
	"cmp"
	"fmt"
	"strings"
)

// A name belongs to the source that first used it. A source is a kind and, after
// a colon, which one of that kind, as in "oidc:https://login.example.com".
const (
	SourcePassword = "password" // a hash in the Store; "" reads as this
	SourceToken    = "token"    // names that came into being by `sigctl token`
	SourceOIDC     = "oidc:"    // and the issuer's URL
	SourceCA       = "ca:"      // and what identifies the CA, in hex

	maxSource = 512 // bytes
)

// owner says how the owner of a name signs in.
func owner(source string) string {
	switch kind, _, _ := strings.Cut(source, ":"); kind {
	case "", SourcePassword:
		return "signs in with a password"
	case SourceToken:
		return "signs in with a token of ours alone"
	case "oidc":
		return "signs in with an OIDC token"
	case "ca":
		return "signs in with a client certificate"
	}
	return "signs in otherwise"
}

func ofPassword(source string) bool { return cmp.Or(source, SourcePassword) == SourcePassword }

// checkOwner returns ErrSource unless the name belongs to source.
func (u User) checkOwner(source string) error {
	if cmp.Or(u.Source, SourcePassword) != source {
		return OtherSource(u.Name, u.Source)
	}
	return nil
}

// OtherSource is ErrSource with the name, and how its owner signs in, for
// implementations of Store. It does not say which issuer or CA that is.
func OtherSource(name, source string) error {
	return fmt.Errorf("%w: %.80q %s", ErrSource, name, owner(source))
}

// checkSource reports, as ErrInvalid, what is no source.
func checkSource(source string) error {
	if len(source) > maxSource {
		return fmt.Errorf("%w: a source is longer than %d bytes", ErrInvalid, maxSource)
	}
	if i := strings.IndexFunc(source, func(r rune) bool { return r <= ' ' || r > '~' }); i >= 0 {
		return fmt.Errorf("%w source %q: it takes printable ASCII", ErrInvalid, source)
	}
	for _, prefix := range []string{SourceOIDC, SourceCA} {
		if rest, ok := strings.CutPrefix(source, prefix); ok && rest != "" {
			return nil
		}
	}
	if ofPassword(source) || source == SourceToken {
		return nil
	}
	return fmt.Errorf("%w source %q", ErrInvalid, source)
}
