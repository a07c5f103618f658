package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestOpenCAMakesOneAndKeepsIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, err := OpenCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenCA(dir)
	if err != nil || !bytes.Equal(again.RootPEM(), first.RootPEM()) {
		t.Errorf("second open: got another root, or %v", err)
	}
	wantMode(t, dir, 0o700)
	wantMode(t, filepath.Join(dir, caDir), 0o700)
	for _, name := range []string{rootKeyFile, intermediateKeyFile} {
		wantMode(t, filepath.Join(dir, caDir, name), 0o600)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".ca-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if years := time.Until(first.Root().NotAfter).Hours() / 24 / 365; years < 9.9 || years > 10.1 {
		t.Errorf("root lives %.1f years, want 10", years)
	}
}

// Of several first starts at once, all end up with one CA.
func TestOpenCAConcurrently(t *testing.T) {
	dir := t.TempDir()
	roots := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range roots {
		wg.Go(func() {
			ca, err := OpenCA(dir)
			if err != nil {
				t.Errorf("open %d: %v", i, err)
				return
			}
			roots[i] = ca.RootPEM()
		})
	}
	wg.Wait()
	for i, root := range roots {
		if !bytes.Equal(root, roots[0]) {
			t.Errorf("open %d got another root than open 0", i)
		}
	}
}

// A CA without its root key, which its owner put into a safe, still issues.
func TestRootKeyMayBeAway(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenCA(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, caDir, rootKeyFile)); err != nil {
		t.Fatal(err)
	}
	ca, err := OpenCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	mustIssue(t)(ca.Server("localhost"))
}

func TestOpenCARefusesBrokenOnes(t *testing.T) {
	other := newTestCA(t).RootPEM()
	tests := []struct {
		name  string
		spoil func(path string) error
		want  string
	}{
		{"no root", func(p string) error { return os.Remove(filepath.Join(p, rootFile)) }, "no such file"},
		{"no key", func(p string) error { return os.Remove(filepath.Join(p, intermediateKeyFile)) }, "no such file"},
		{"root is not PEM", func(p string) error { return os.WriteFile(filepath.Join(p, rootFile), []byte("x"), 0o600) }, "no certificate in PEM"},
		{"key of another", func(p string) error {
			return os.Rename(filepath.Join(p, rootKeyFile), filepath.Join(p, intermediateKeyFile))
		}, "private key does not match"},
		{"root of another", func(p string) error { return os.WriteFile(filepath.Join(p, rootFile), other, 0o600) }, "was not issued by"},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		if _, err := OpenCA(dir); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, caDir)
		if err := tt.spoil(path); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenCA(dir); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want an error with %q that names %s", tt.name, err, tt.want, path)
		}
	}
}

func TestOpenCARefusesExpired(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	if _, err := openCA(dir, c.now); err != nil {
		t.Fatal(err)
	}
	c.advance(caLifetime + day)
	if _, err := openCA(dir, c.now); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("open an expired CA: got %v, want it to say expired", err)
	}
}

// parse returns the leaf of an issued certificate, verified up to the CA's root for one use.
func (ca *CA) verified(t *testing.T, issued Issued, host string, use x509.ExtKeyUsage) (*x509.Certificate, error) {
	t.Helper()
	pair, err := tls.X509KeyPair(issued.Chain, issued.Key)
	if err != nil {
		t.Fatalf("pair: %v", err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ca.root)
	between.AppendCertsFromPEM(issued.Chain)
	_, err = pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{use}})
	return pair.Leaf, err
}

func TestServerCertificate(t *testing.T) {
	ca := newTestCA(t)
	issued := mustIssue(t)(ca.Server("Example.com", "*.example.com", "127.0.0.1", "::1"))
	for _, host := range []string{"example.com", "a.example.com", "127.0.0.1", "::1"} {
		leaf, err := ca.verified(t, issued, host, x509.ExtKeyUsageServerAuth)
		if err != nil {
			t.Errorf("verify for %s: %v", host, err)
		}
		if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 397*day {
			t.Errorf("lives %v, browsers accept 397 days", life)
		}
	}
	if _, err := ca.verified(t, issued, "other.com", x509.ExtKeyUsageServerAuth); err == nil {
		t.Errorf("verify for other.com: got no error")
	}
	if _, err := ca.verified(t, issued, "", x509.ExtKeyUsageClientAuth); err == nil {
		t.Errorf("a server's certificate is good for a client")
	}
	for _, bad := range [][]string{{}, {""}, {"a b"}, {"exa*mple.com"}, {"a..b"}, {"https://a"}, {"a:1"}, {strings.Repeat("a", 64)}} {
		if _, err := ca.Server(bad...); err == nil {
			t.Errorf("server certificate for %q: got no error", bad)
		}
	}
}

func TestClientCertificate(t *testing.T) {
	ca := newTestCA(t)
	tests := []struct{ name, email string }{
		{"alice", ""}, {"alice@example.com", "alice@example.com"}, {"a@", ""}, {"@a", ""},
	}
	for _, tt := range tests {
		issued := mustIssue(t)(ca.Client(tt.name))
		leaf, err := ca.verified(t, issued, "", x509.ExtKeyUsageClientAuth)
		if err != nil {
			t.Errorf("verify client %s: %v", tt.name, err)
		}
		if got := strings.Join(leaf.EmailAddresses, ","); leaf.Subject.CommonName != tt.name || got != tt.email {
			t.Errorf("client %s: got common name %q and e-mail %q, want e-mail %q", tt.name, leaf.Subject.CommonName, got, tt.email)
		}
	}
	for _, bad := range []string{"", "a b", "a\n", "<a@b>", strings.Repeat("a", 65)} {
		if _, err := ca.Client(bad); err == nil {
			t.Errorf("client certificate for %q: got no error", bad)
		}
	}
}

// What the CA issues in its last year ends with it.
func TestLeafDoesNotOutliveCA(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	ca, err := openCA(dir, c.now)
	if err != nil {
		t.Fatal(err)
	}
	c.advance(caLifetime - 10*day)
	pair, err := tls.X509KeyPair(func() (a, b []byte) { i := mustIssue(t)(ca.Server("localhost")); return i.Chain, i.Key }())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := pair.Leaf.NotAfter, ca.intermediate.NotAfter; !got.Equal(want) {
		t.Errorf("ends %v, want the CA's end %v", got, want)
	}
	if !ca.good(pair.Leaf, []string{"localhost"}) {
		t.Errorf("a leaf as old as its CA is issued again and again")
	}
}
