package certs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/url"
	"strings"
	"testing"
)

// person is a certificate with these common names, e-mail addresses and URIs.
func person(t *testing.T, cns, emails, uris []string) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{EmailAddresses: emails}
	for _, cn := range cns {
		c.Subject.Names = append(c.Subject.Names, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: cn})
	}
	for _, text := range uris {
		uri, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = append(c.URIs, uri)
	}
	return c
}

func TestIdentity(t *testing.T) {
	list := func(s string) []string { return strings.Fields(s) }
	const spiffe = `uri-regexp=spiffe://example\.com/([a-z]+)`
	tests := []struct {
		rule, cns, emails, uris string
		want, fault             string
	}{
		{"", "bob", "alice@example.com", "", "alice@example.com", ""},
		{"email", "bob", "alice@example.com", "", "alice@example.com", ""},
		{"email", "alice@example.com", "", "mailto:alice@example.com", "", "no identity: it has no e-mail address"},
		{"email", "", "alice@example.com bob@example.com", "", "", "several identities: "},
		{"email", "", "alice!@example.com", "", "", "bad name: "},
		{"email", "", strings.Repeat("a", 64) + "@example.com", "", "", "bad name: "},
		{"cn", "alice", "bob@example.com", "", "alice", ""},
		{"cn", "", "bob@example.com", "", "", "no identity: it has no common name"},
		{"cn", "alice bob", "", "", "", "several identities: "},
		{"cn", "alice alice", "", "", "", "several identities: "},
		{spiffe, "bob", "bob@example.com", "spiffe://example.com/alice", "alice", ""},
		{spiffe, "", "", "https://example.com/x spiffe://example.com/alice", "alice", ""},
		{spiffe, "", "", "spiffe://example.com/alice spiffe://example.com/bob", "", "several identities: "},
		{spiffe, "", "", "spiffe://example.com/alice/x", "", "no identity: it has no URI like"},
		{spiffe, "", "", "x:spiffe://example.com/alice", "", "no identity: "},
		{spiffe, "", "", "spiffe://example.com/alice%0Aspiffe://example.com/x", "", "no identity: "},
		{`uri-regexp=a:(x)|b:y`, "", "", "b:y", "", "bad name: "},
		{`uri-regexp=a:(x|xy)`, "", "", "a:xy", "xy", ""},
		{`uri-regexp=a:(x)|b:(y)`, "", "", "a:xb:y", "", "no identity: "},
	}
	for _, tt := range tests {
		rule, err := parseIdentity(tt.rule)
		if err != nil {
			t.Errorf("rule %q: %v", tt.rule, err)
			continue
		}
		got, err := rule.of(person(t, list(tt.cns), list(tt.emails), list(tt.uris)))
		if got != tt.want || (err == nil) != (tt.fault == "") || err != nil && !strings.HasPrefix(err.Error(), tt.fault) {
			t.Errorf("%s of %q %q %q: got %q, %v, want %q, %q", tt.rule, tt.cns, tt.emails, tt.uris, got, err, tt.want, tt.fault)
		}
	}
}

func TestIdentityFaults(t *testing.T) {
	for rule, want := range map[string]string{
		"mail":             "it is email, cn or uri-regexp=EXPRESSION",
		"uri-regexp":       "it is email, cn or uri-regexp=EXPRESSION",
		"uri-regexp=":      "has no group",
		"uri-regexp=a:.*":  "has no group",
		"uri-regexp=(?:a)": "has no group",
		"uri-regexp=a)(b":  "unexpected )",
		"uri-regexp=(":     "missing closing )",
	} {
		if _, err := parseIdentity(rule); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("rule %q: got %v, want %q", rule, err, want)
		}
	}
}
