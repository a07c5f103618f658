package certs

import (
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// sentBy returns the certificates that a client sends: its own, or all.
func sentBy(t *testing.T, issued Issued, whole bool) []*x509.Certificate {
	t.Helper()
	var sent []*x509.Certificate
	for _, der := range pairOf(t, issued).Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, c)
	}
	if !whole {
		sent = sent[:1]
	}
	return sent
}

func TestBundles(t *testing.T) {
	ca, other := newTestCA(t), newTestCA(t)
	issued := mustIssue(t)(ca.Client("alice@example.com"))
	root, second := ca.root, ca.intermediate
	key := rootKey(t, ca)
	renewed, err := signCA(root.Subject.CommonName, time.Now().Add(day), nil, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		bundle []*x509.Certificate
		whole  bool              // the client sends its CA's certificate too
		want   *x509.Certificate // that vouches; nil: none does
	}{
		{"root, leaf and CA sent", []*x509.Certificate{root}, true, root},
		{"root, leaf sent", []*x509.Certificate{root}, false, nil},
		{"root and CA, leaf sent", []*x509.Certificate{root, second}, false, root},
		{"CA and root, leaf sent", []*x509.Certificate{second, root}, false, root},
		{"CA and root, leaf and CA sent", []*x509.Certificate{second, root}, true, root},
		{"CA alone, leaf sent", []*x509.Certificate{second}, false, second},
		{"CA alone, leaf and CA sent", []*x509.Certificate{second}, true, second},
		{"two roots", []*x509.Certificate{other.root, root}, true, root},
		{"two roots and a CA each", []*x509.Certificate{other.intermediate, second, other.root, root}, false, root},
		{"a root and what will follow it", []*x509.Certificate{renewed, root}, true, root},
		{"another root", []*x509.Certificate{other.root}, true, nil},
		{"another root and its CA", []*x509.Certificate{other.root, other.intermediate}, true, nil},
		{"another root, and CA alone", []*x509.Certificate{other.root, second}, false, second},
	}
	for _, tt := range tests {
		path := write(t, t.TempDir(), "bundle.pem", encodeCertificates(tt.bundle...))
		clients, err := OpenClients(&ClientOptions{CA: path})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got, err := clients.check(sentBy(t, issued, tt.whole))
		if tt.want == nil {
			if err == nil || !strings.HasPrefix(err.Error(), "wrong CA: ") || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: got %+v, %v, want wrong CA", tt.name, got, err)
			}
		} else if err != nil || got.Source != sourceOf(tt.want) {
			t.Errorf("%s: got %+v, %v, want source %s", tt.name, got, err, sourceOf(tt.want))
		}
	}
}

func TestOpenClientsFaults(t *testing.T) {
	dir, ca := t.TempDir(), newTestCA(t)
	leaf := mustIssue(t)(ca.Client("alice@example.com")).Chain
	good := write(t, dir, "good.pem", ca.BundlePEM())
	text := write(t, dir, "text", []byte("hello"))
	cut := write(t, dir, "cut.pem", ca.BundlePEM()[:len(ca.BundlePEM())-30])
	client := write(t, dir, "client.pem", leaf)
	circle := write(t, dir, "circle.pem", encodeCertificates(crossSigned(t, ca, newTestCA(t))...))
	missing := filepath.Join(dir, "missing.pem")
	crl := crlOf(t, ca, time.Now(), 1)
	cutCRL := write(t, dir, "cut-crl.pem", slices.Concat(crl, crl[:len(crl)-30]))
	tests := []struct {
		name  string
		o     ClientOptions
		wants []string
	}{
		{"no CA", ClientOptions{}, []string{"client CA: name a PEM file"}},
		{"absent", ClientOptions{CA: missing}, []string{"client CA: ", missing, "no such file"}},
		{"text", ClientOptions{CA: text}, []string{text, "no certificate in PEM"}},
		{"cut off", ClientOptions{CA: cut}, []string{cut, "of its 2 CERTIFICATE blocks only 1"}},
		{"a client's", ClientOptions{CA: client}, []string{client, "CN=alice@example.com is not a CA"}},
		{"a circle", ClientOptions{CA: circle}, []string{circle, "add a root"}},
		{"identity", ClientOptions{CA: good, Identity: "x"}, []string{`client identity "x"`}},
		{"CRL absent", ClientOptions{CA: good, CRL: missing}, []string{"client CRL: ", missing, "no such file"}},
		{"CRL text", ClientOptions{CA: good, CRL: text}, []string{text, "-----BEGIN X509 CRL-----"}},
		{"CRL is a certificate", ClientOptions{CA: good, CRL: client}, []string{client, "-----BEGIN X509 CRL-----"}},
		{"CRL cut off", ClientOptions{CA: good, CRL: cutCRL}, []string{cutCRL, "of its 2 X509 CRL blocks only 1"}},
	}
	for _, tt := range tests {
		_, err := OpenClients(&tt.o)
		for _, want := range tt.wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", tt.name, err, want)
			}
		}
	}
}

// A client may send the CAs between its own and the bundle's in any order. Those that lead elsewhere are not tried.
func TestSentCAs(t *testing.T) {
	chain := chainOf(t, "root", "second", "third", "leaf")
	root, second, third, leaf := chain[0], chain[1], chain[2], chain[3]
	b, _, err := readBundle(write(t, t.TempDir(), "bundle.pem", encodeCertificates(root)))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := chainOf(t, "root", "second", "third", "leaf")
	for _, sent := range [][]*x509.Certificate{
		{leaf, third, second}, {leaf, second, third}, {leaf, root, second, third}, {leaf, third, leaf, third, second},
		slices.Concat([]*x509.Certificate{leaf, third, second}, elsewhere),
	} {
		if _, err := b.verify(sent, time.Now()); err != nil {
			t.Errorf("send %d certificates: %v", len(sent), err)
		}
	}
	if _, err := b.verify([]*x509.Certificate{leaf, third}, time.Now()); err == nil {
		t.Errorf("send no second: got no error")
	}
	if pool := b.betweenWith(elsewhere); !pool.Equal(b.between) {
		t.Errorf("CAs of the same names that lead elsewhere are tried")
	}
}

// chainOf makes certificates of which each issued the next. All but the last are CAs.
func chainOf(t *testing.T, names ...string) []*x509.Certificate {
	t.Helper()
	var chain []*x509.Certificate
	var by *ecdsa.PrivateKey
	for i, name := range names {
		template := &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			BasicConstraintsValid: true, IsCA: i < len(names)-1,
		}
		key, err := newKey()
		if err != nil {
			t.Fatal(err)
		}
		parent := template
		if i > 0 {
			parent = chain[i-1]
		} else {
			by = key
		}
		c, err := sign(template, parent, &key.PublicKey, by)
		if err != nil {
			t.Fatal(err)
		}
		chain, by = append(chain, c), key
	}
	return chain
}

// crossSigned is the roots of two CAs, each as the other signed it.
func crossSigned(t *testing.T, a, b *CA) []*x509.Certificate {
	t.Helper()
	cross := func(c, by *CA) *x509.Certificate {
		signed, err := signCA(c.root.Subject.CommonName, time.Now(), by.root, &rootKey(t, c).PublicKey, rootKey(t, by))
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	return []*x509.Certificate{cross(a, b), cross(b, a)}
}

// What a certificate holds cannot fill a log.
func TestRefusalsAreShort(t *testing.T) {
	g := newGate(t, nil)
	long := strings.Repeat("\n", 20_000)
	for name, issued := range map[string]Issued{
		"subject": g.odd(func(c *x509.Certificate) { c.Subject.CommonName = long }),
		"e-mail":  g.odd(func(c *x509.Certificate) { c.EmailAddresses = []string{long} }),
	} {
		err := refusal(sentBy(t, issued, false)[0], func() error { _, err := g.check(sentBy(t, issued, false)); return err }())
		if err == nil || len(err.Error()) > 2000 {
			t.Errorf("%s: got %v, want a short error", name, err)
		}
	}
}

// A broken file leaves the old CAs in force and is logged once; a good one takes their place.
func TestBundleIsFollowed(t *testing.T) {
	g := newGate(t, nil)
	other := newTestCA(t)
	alice := sentBy(t, mustIssue(t)(g.ca.Client("alice@example.com")), true)
	bob := sentBy(t, mustIssue(t)(other.Client("bob@example.com")), true)
	want := func(sent []*x509.Certificate, in bool) {
		t.Helper()
		g.clock.advance(time.Second)
		if _, err := g.check(sent); (err == nil) != in {
			t.Errorf("%s: got %v, want in %v", nameOf(sent[0]), err, in)
		}
	}
	want(alice, true)
	write(t, g.dir, "clients.pem", []byte("nothing"))
	want(alice, true)
	want(bob, false)
	if got := g.log.count("level=ERROR"); got != 1 {
		t.Errorf("a lasting fault: got %d log lines, want 1:\n%s", got, g.log)
	}
	write(t, g.dir, "clients.pem", other.BundlePEM())
	want(bob, true)
	want(alice, false)
	if got := g.log.count("client CA replaced"); got != 1 {
		t.Errorf("log: got %d of client CA replaced, want 1:\n%s", got, g.log)
	}
	g.clock.advance(caLifetime)
	want(bob, false)
	want(bob, false)
	if got := g.log.count("client CA has expired"); got != 1 {
		t.Errorf("log: got %d of client CA has expired, want 1:\n%s", got, g.log)
	}
}
