package certs

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// identity is the rule that says which user a certificate is.
type identity struct {
	what  string // that it looks for, for messages
	names func(*x509.Certificate) []string
}

// parseIdentity reads a rule as ClientOptions has it.
func parseIdentity(rule string) (identity, error) {
	expression, isURI := strings.CutPrefix(rule, "uri-regexp=")
	switch {
	case rule == "", rule == "email":
		return identity{"e-mail address among its alternative names", func(c *x509.Certificate) []string { return c.EmailAddresses }}, nil
	case rule == "cn":
		return identity{"common name", commonNames}, nil
	case isURI:
		return uriIdentity(expression)
	}
	return identity{}, fmt.Errorf("client identity %q: it is email, cn or uri-regexp=EXPRESSION", rule)
}

// uriIdentity takes the first group of an expression that matches a whole URI.
func uriIdentity(expression string) (identity, error) {
	if _, err := regexp.Compile(expression); err != nil { // by itself: a ")(" would be right between our brackets
		return identity{}, fmt.Errorf("client identity: %w", err)
	}
	whole, err := regexp.Compile(`\A(?:` + expression + `)\z`)
	if err != nil {
		return identity{}, fmt.Errorf("client identity: %w", err)
	}
	if whole.NumSubexp() == 0 {
		return identity{}, fmt.Errorf("client identity: %q has no group (in brackets) that is the name", expression)
	}
	return identity{fmt.Sprintf("URI like %q among its alternative names", expression), func(c *x509.Certificate) []string {
		var names []string
		for _, uri := range c.URIs {
			if match := whole.FindStringSubmatch(uri.String()); match != nil {
				names = append(names, match[1])
			}
		}
		return names
	}}, nil
}

// commonNames returns all: pkix.Name keeps the last of several.
func commonNames(c *x509.Certificate) []string {
	var names []string
	for _, attribute := range c.Subject.Names {
		if name, ok := attribute.Value.(string); ok && attribute.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
			names = append(names, name)
		}
	}
	return names
}

// of returns the one user that c is.
func (i identity) of(c *x509.Certificate) (string, error) {
	names := i.names(c)
	switch {
	case len(names) == 0:
		return "", errors.New("no identity: it has no " + i.what)
	case len(names) > 1:
		return "", fmt.Errorf("several identities: %q", short(strings.Join(names, ", ")))
	case !protocol.ValidName(names[0]):
		return "", fmt.Errorf("bad name: %q is no user name (1 to %d of letters, digits, . _ @ + -)", short(names[0]), protocol.MaxNameLen)
	}
	return names[0], nil
}
