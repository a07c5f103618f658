package certs

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestClientsRefuse(t *testing.T) {
	g := newGate(t, nil)
	now := g.clock.now()
	issue := mustIssue(t)
	uri := &url.URL{Scheme: "spiffe", Host: "example.com", Path: "/alice"}
	crowd := issue(g.ca.Client("alice@example.com"))
	crowd.Chain = append(crowd.Chain, slices.Repeat(encodeCertificates(g.ca.intermediate), maxSent-1)...)
	caKey, err := encodeKey(g.ca.key)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		issued Issued
		want   string
	}{
		{"a CA's", Issued{Chain: encodeCertificates(g.ca.intermediate), Key: caKey}, "not for client authentication: it is a CA's"},
		{"for encryption", forEncryption(t, g.ca), "not for client authentication: its key usage"},
		{"expired", issue(g.ca.at(now.Add(-400 * day)).Client("alice@example.com")), "expired: on 20"},
		{"not yet valid", issue(g.ca.at(now.Add(2 * day)).Client("alice@example.com")), "not yet valid: begins on 20"},
		{"wrong CA", issue(newTestCA(t).Client("alice@example.com")), "wrong CA: issued by"},
		{"a server's", issue(g.ca.Server("alice.example.com")), "not for client authentication: "},
		{"no e-mail address", issue(g.ca.Client("alice")), "no identity: it has no e-mail address"},
		{"a URI", g.odd(func(c *x509.Certificate) { c.URIs = []*url.URL{uri} }), "no identity: "},
		{"two e-mail addresses", issue(g.ca.Client("alice@example.com", "bob@example.com")), `several identities: "alice@example.com, bob@example.com"`},
		{"one twice", g.odd(func(c *x509.Certificate) { c.EmailAddresses = []string{"a@b.c", "a@b.c"} }), "several identities: "},
		{"no user name", g.odd(func(c *x509.Certificate) { c.EmailAddresses = []string{"o'hara@example.com"} }), "bad name: "},
		{"eleven certificates", crowd, "too many certificates: 11"},
	}
	forEachVersion(t, func(t *testing.T, version uint16) {
		g.t = t
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				g.t = t
				g.visitor(&tt.issued, version).wantRefused(tt.want)
			})
		}
	})
}

// forEncryption issues a certificate that may not sign, as a client has to.
func forEncryption(t *testing.T, ca *CA) Issued {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "alice"}, EmailAddresses: []string{"alice@example.com"},
		NotBefore: ca.now().Add(-time.Hour), NotAfter: ca.now().Add(time.Hour), KeyUsage: x509.KeyUsageKeyAgreement,
	}, ca.intermediate, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return Issued{Chain: encodeCertificates(c, ca.intermediate), Key: keyPEM}
}

func TestClientsAccept(t *testing.T) {
	forEachVersion(t, func(t *testing.T, version uint16) {
		g := newGate(t, nil)
		issued := mustIssue(t)(g.ca.Client("alice@example.com"))
		client := g.visitor(&issued, version).wantUser("alice@example.com", false)
		if want := sourceOf(g.ca.root); client.Source != want || len(want) != len("ca:")+16 {
			t.Errorf("source: got %q, want %q", client.Source, want)
		}
		if want := pairOf(t, issued).Leaf.NotAfter; !client.Expires.Equal(want) {
			t.Errorf("expires: got %v, want %v", client.Expires, want)
		}
		g.visitor(nil, version).wantUser("", false)
		if len(g.refused) != 0 {
			t.Errorf("told: %q, want nothing", g.refused)
		}
	})
}

func TestClientsRequired(t *testing.T) {
	forEachVersion(t, func(t *testing.T, version uint16) {
		g := newGate(t, func(_ *gate, o *ClientOptions) { o.Required = true })
		issued := mustIssue(t)(g.ca.Client("alice@example.com"))
		g.visitor(&issued, version).wantUser("alice@example.com", false)
		got := g.visitor(nil, version).connect()
		if got.server == nil || got.client == nil || !strings.Contains(got.server.Error(), "didn't provide a certificate") {
			t.Errorf("without a certificate: got %v at the server, %v at the client", got.server, got.client)
		}
	})
}

// A session is resumed across connections, which have configurations of their own, and what holds then counts.
func TestClientsResumed(t *testing.T) {
	forEachVersion(t, func(t *testing.T, version uint16) {
		g := newGate(t, func(g *gate, o *ClientOptions) {
			if _, err := g.ca.CRL(false); err != nil {
				t.Fatal(err)
			}
			o.CRL = g.ca.CRLPath()
		})
		alice := mustIssue(t)(g.ca.Client("alice@example.com"))
		bob := mustIssue(t)(g.ca.Client("bob@example.com"))
		a, b := g.visitor(&alice, version), g.visitor(&bob, version)
		for _, resumed := range []bool{false, true, true} {
			a.wantUser("alice@example.com", resumed)
			b.wantUser("bob@example.com", resumed)
		}
		g.revoke(alice)
		g.clock.advance(time.Second)
		a.wantRefused("revoked: CN=alice@example.com")
		b.wantUser("bob@example.com", true)

		write(t, g.dir, "clients.pem", newTestCA(t).BundlePEM())
		g.clock.advance(time.Second)
		b.wantRefused("wrong CA: ")
	})
}

// A session outlives neither its certificate nor one of a CA.
func TestClientsResumedAfterExpiry(t *testing.T) {
	forEachVersion(t, func(t *testing.T, version uint16) {
		g := newGate(t, nil)
		soon := g.clock.now().Add(time.Hour)
		alice := mustIssue(t)(g.ca.at(soon.Add(clockSkew - leafLifetime)).Client("alice@example.com"))
		v := g.visitor(&alice, version)
		v.wantUser("alice@example.com", false)
		v.wantUser("alice@example.com", true)
		g.clock.advance(time.Hour + time.Second)
		v.wantRefused("expired: on " + stamp(pairOf(t, alice).Leaf.NotAfter))
	})
}

// A certificate that is good for longer than its CA ends with that.
func TestClientsOfCAThatEnds(t *testing.T) {
	forEachVersion(t, func(t *testing.T, version uint16) {
		g := newGate(t, nil)
		end := g.clock.now().Add(time.Hour).Truncate(time.Second)
		bob := mustIssue(t)(endingCA(t, g.ca, end).Client("bob@example.com"))
		v := g.visitor(&bob, version)
		if client := v.wantUser("bob@example.com", false); !client.Expires.Equal(end) {
			t.Errorf("expires: got %v, want %v", client.Expires, end)
		}
		v.wantUser("bob@example.com", true)
		g.clock.advance(time.Hour + time.Second)
		v.wantRefused("CA not valid: CN=ending")
	})
}

// endingCA is one below ca's root that ends early, and issues nevertheless.
func endingCA(t *testing.T, ca *CA, end time.Time) *CA {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := signCA("ending", end.Add(-caLifetime), ca.root, &key.PublicKey, rootKey(t, ca))
	if err != nil {
		t.Fatal(err)
	}
	c.NotAfter = ca.root.NotAfter // issue does not know; what it signed in Raw stays
	return &CA{root: ca.root, intermediate: c, key: key, now: ca.now}
}

// Identify at the login, long after the handshake, says what holds then.
func TestIdentifyLater(t *testing.T) {
	g := newGate(t, func(g *gate, o *ClientOptions) {
		g.revoke()
		o.CRL = g.ca.CRLPath()
	})
	alice := mustIssue(t)(g.ca.Client("alice@example.com"))
	got := g.visitor(&alice, tls.VersionTLS13).connect()
	if got.server != nil {
		t.Fatal(got.server)
	}
	early := got.state
	early.HandshakeComplete = false
	if _, ok, err := g.Identify(&early); ok || err == nil {
		t.Errorf("identify before the client has proved that it has the key: got %v, %v", ok, err)
	}
	g.revoke(alice)
	g.clock.advance(time.Second)
	if _, ok, err := g.Identify(&got.state); ok || err == nil || !strings.Contains(err.Error(), "revoked: ") {
		t.Errorf("identify a revoked certificate: got %v, %v", ok, err)
	}
	if _, ok, err := g.Identify(nil); ok || err != nil {
		t.Errorf("identify without TLS: got %v, %v", ok, err)
	}
}

// What the base configuration does for each connection stays.
func TestServerKeepsItsBase(t *testing.T) {
	g := newGate(t, nil)
	pair := pairOf(t, mustIssue(t)(g.ca.Server("localhost")))
	refused := errors.New("not on Sundays")
	base := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{
			Certificates:     []tls.Certificate{pair},
			VerifyConnection: func(tls.ConnectionState) error { return refused },
		}, nil
	}}
	g.server = g.Server(base)
	alice := mustIssue(t)(g.ca.Client("alice@example.com"))
	if got := g.visitor(&alice, tls.VersionTLS13).connect(); !errors.Is(got.server, refused) {
		t.Errorf("got %v, want %v", got.server, refused)
	}
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, refused }
	g.server = g.Server(base)
	if got := g.visitor(&alice, tls.VersionTLS13).connect(); !errors.Is(got.server, refused) {
		t.Errorf("got %v, want %v", got.server, refused)
	}
}
