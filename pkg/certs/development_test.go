package certs

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func mustDevelopment(t *testing.T, dir string, c *clock, extra ...string) *Reloader {
	t.Helper()
	r, err := development(dir, extra, new(logBuffer).logger(), c.now)
	if err != nil {
		t.Fatalf("development certificate: %v", err)
	}
	return r
}

func TestDevelopmentFirstStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := mustDevelopment(t, dir, newClock(), "sigctl.example.com", "203.0.113.7")
	wantMode(t, dir, 0o700)
	wantMode(t, filepath.Join(dir, serverFile), 0o600)
	hosts, err := localHosts(nil)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := Pool(dir)
	if err != nil {
		t.Fatal(err)
	}
	pair, _ := r.GetCertificate(nil)
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		c, _ := x509.ParseCertificate(der)
		between.AddCert(c)
	}
	for _, host := range append(hosts, "sigctl.example.com", "203.0.113.7") {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: pool, Intermediates: between}); err != nil {
			t.Errorf("verify for %s: %v", host, err)
		}
	}
	if got := r.Leaf().DNSNames[0]; got != "sigctl.example.com" {
		t.Errorf("first DNS name: got %q, want the given one", got)
	}
}

func TestDevelopmentIssuesAgain(t *testing.T) {
	file := func(dir string) string { return filepath.Join(dir, serverFile) }
	tests := []struct {
		name   string
		change func(dir string, c *clock) error
		extra  []string
		again  bool
	}{
		{"nothing changed", func(string, *clock) error { return nil }, nil, false},
		{"a year is nearly over", func(_ string, c *clock) error { c.advance(360 * day); return nil }, nil, false},
		{"the end is near", func(_ string, c *clock) error { c.advance(368 * day); return nil }, nil, true},
		{"expired", func(_ string, c *clock) error { c.advance(500 * day); return nil }, nil, true},
		{"another name", func(string, *clock) error { return nil }, []string{"new.example.com"}, true},
		{"another address", func(string, *clock) error { return nil }, []string{"203.0.113.9"}, true},
		{"file removed", func(dir string, _ *clock) error { return os.Remove(file(dir)) }, nil, true},
		{"file cut", func(dir string, _ *clock) error { return os.Truncate(file(dir), 300) }, nil, true},
		{"another CA", func(dir string, _ *clock) error { return os.RemoveAll(filepath.Join(dir, caDir)) }, nil, true},
	}
	for _, tt := range tests {
		dir, c := t.TempDir(), newClock()
		before := mustDevelopment(t, dir, c).Leaf()
		if err := tt.change(dir, c); err != nil {
			t.Fatal(err)
		}
		after := mustDevelopment(t, dir, c, tt.extra...).Leaf()
		if again := !after.Equal(before); again != tt.again {
			t.Errorf("%s: issued again %v, want %v", tt.name, again, tt.again)
		}
	}
}

// A server that runs for more than a year never shows an expired certificate.
func TestDevelopmentRenewsWhileRunning(t *testing.T) {
	c := newClock()
	r := mustDevelopment(t, t.TempDir(), c)
	before := r.Leaf()
	c.advance(time.Second)
	if pair, _ := r.GetCertificate(nil); !pair.Leaf.Equal(before) {
		t.Errorf("issued again without a reason")
	}
	c.advance(370 * day)
	if pair, _ := r.GetCertificate(nil); pair.Leaf.Equal(before) || c.now().Add(renewBefore).After(pair.Leaf.NotAfter) {
		t.Errorf("after 370 days: got a certificate that ends %v, want a new one", pair.Leaf.NotAfter)
	}
}

func TestDevelopmentFaults(t *testing.T) {
	blocked := write(t, t.TempDir(), "file", []byte("not a directory"))
	if _, err := Development(filepath.Join(blocked, "data"), nil, new(logBuffer).logger()); err == nil || !strings.Contains(err.Error(), blocked) {
		t.Errorf("below a file: got %v, want an error that names it", err)
	}
	if _, err := Development(t.TempDir(), []string{"not a name"}, new(logBuffer).logger()); err == nil || !strings.Contains(err.Error(), `"not a name"`) {
		t.Errorf("bad extra name: got %v, want an error that names it", err)
	}
}

func TestPool(t *testing.T) {
	dir := t.TempDir()
	ca, err := OpenCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := x509.NewCertPool()
	want.AddCert(ca.Root())
	for _, path := range []string{dir, filepath.Join(dir, caDir, rootFile), write(t, dir, "ca.pem", ca.RootPEM())} {
		if pool, err := Pool(path); err != nil || !pool.Equal(want) {
			t.Errorf("pool of %s: got another, or %v", path, err)
		}
	}
	if _, err := Pool(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pool of an empty directory: got %v, want it not to exist", err)
	}
	if _, err := Pool(write(t, dir, "text", []byte("x"))); err == nil {
		t.Errorf("pool of a text: got no error")
	}
}

func TestSystemPool(t *testing.T) {
	dir := t.TempDir()
	before, err := SystemPool(dir)
	if err != nil {
		t.Fatalf("without a development CA: %v", err)
	}
	if _, err := OpenCA(dir); err != nil {
		t.Fatal(err)
	}
	if after, err := SystemPool(dir); err != nil || after.Equal(before) {
		t.Errorf("with a development CA: got the same pool, or %v", err)
	}
	if _, err := SystemPool(write(t, dir, "text", []byte("x"))); err == nil {
		t.Errorf("a text: got no error")
	}
}
