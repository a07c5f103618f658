package certs

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLoadFaults(t *testing.T) {
	dir := t.TempDir()
	ca := newTestCA(t)
	a, b := mustIssue(t)(ca.Server("localhost")), mustIssue(t)(ca.Server("localhost"))
	chain, key := write(t, dir, "chain.pem", a.Chain), write(t, dir, "key.pem", a.Key)
	otherKey := write(t, dir, "other-key.pem", b.Key)
	reversed := write(t, dir, "reversed.pem", slices.Concat(encodeCertificates(ca.intermediate), a.Chain))
	text := write(t, dir, "text", []byte("hello"))
	missing := filepath.Join(dir, "missing.pem")
	tests := []struct{ name, cert, key, want, names string }{
		{"no certificate", missing, key, "no such file", missing},
		{"no key", chain, missing, "no such file", missing},
		{"a directory", dir, key, "is a directory", dir},
		{"certificate is not PEM", text, key, "no certificate in PEM", text},
		{"key is not PEM", chain, text, "no private key in PEM", text},
		{"swapped", key, chain, "no certificate in PEM", key},
		{"mismatched", chain, otherKey, "does not match", otherKey},
		{"intermediate first", reversed, key, "must be the first", reversed},
	}
	for _, tt := range tests {
		_, err := Load(tt.cert, tt.key, new(logBuffer).logger())
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.names) {
			t.Errorf("%s: got %v, want an error with %q that names %s", tt.name, err, tt.want, tt.names)
		}
	}
}

func TestLoadWarnsOfExpired(t *testing.T) {
	dir, c, log := t.TempDir(), newClock(), new(logBuffer)
	issued := mustIssue(t)(newTestCA(t).Server("localhost"))
	path := write(t, dir, "server.pem", slices.Concat(issued.Chain, issued.Key))
	c.advance(400 * day)
	if _, err := load(path, path, nil, log.logger(), c.now); err != nil {
		t.Errorf("load an expired certificate: %v, want a warning only", err)
	}
	if log.count("level=WARN") != 1 {
		t.Errorf("log: got %q, want one warning", log)
	}
}

// following is a reloader over two files, with the clock in hand.
type following struct {
	*Reloader
	clock     *clock
	t         *testing.T
	cert, key string
	log       *logBuffer
}

func newFollowing(t *testing.T, issued Issued) *following {
	dir, c, log := t.TempDir(), newClock(), new(logBuffer)
	f := &following{nil, c, t, write(t, dir, "cert.pem", issued.Chain), write(t, dir, "key.pem", issued.Key), log}
	var err error
	if f.Reloader, err = load(f.cert, f.key, nil, log.logger(), c.now); err != nil {
		t.Fatal(err)
	}
	return f
}

// put replaces a file, with a modification time of its own.
func (f *following) put(path string, text []byte) {
	f.t.Helper()
	write(f.t, filepath.Dir(path), filepath.Base(path), text)
	f.touched(path)
}

func (f *following) touched(path string) {
	f.clock.advance(time.Millisecond)
	if err := os.Chtimes(path, f.clock.now(), f.clock.now()); err != nil {
		f.t.Fatal(err)
	}
}

func (f *following) want(issued Issued) {
	f.t.Helper()
	got, err := f.GetCertificate(nil)
	pair, _ := tls.X509KeyPair(issued.Chain, issued.Key)
	if err != nil || !got.Leaf.Equal(pair.Leaf) {
		f.t.Errorf("got serial %x, %v, want %x", got.Leaf.SerialNumber, err, pair.Leaf.SerialNumber)
	}
}

func TestReload(t *testing.T) {
	ca := newTestCA(t)
	one, two, three := mustIssue(t)(ca.Server("localhost")), mustIssue(t)(ca.Server("localhost")), mustIssue(t)(ca.Server("localhost"))
	f := newFollowing(t, one)
	f.want(one)

	f.put(f.cert, two.Chain)
	f.clock.advance(time.Second)
	f.want(one) // the key is still the old one
	f.clock.advance(time.Second)
	f.want(one)
	if got := f.log.count("level=ERROR"); got != 1 {
		t.Errorf("a lasting mismatch: got %d log lines, want 1:\n%s", got, f.log)
	}
	f.put(f.key, two.Key)
	f.clock.advance(time.Second)
	f.want(two)

	if err := os.Remove(f.cert); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(time.Second)
	f.want(two)
	f.put(f.cert, two.Chain)
	f.clock.advance(time.Second)
	f.want(two)

	f.put(f.cert, three.Chain)
	f.put(f.key, three.Key)
	f.clock.advance(time.Second / 2)
	f.want(two) // looked less than a second ago
	f.clock.advance(time.Second / 2)
	f.want(three)
	if got := f.log.count("level=ERROR"); got != 2 {
		t.Errorf("log: got %d errors, want 2 (mismatch, removed):\n%s", got, f.log)
	}
}

func TestTLS(t *testing.T) {
	ca := newTestCA(t)
	server := newFollowing(t, mustIssue(t)(ca.Server("localhost"))).TLS("http/1.1")
	alice := newFollowing(t, mustIssue(t)(ca.Client("alice@example.com")))
	pool := x509.NewCertPool()
	pool.AddCert(ca.Root())
	server.ClientCAs, server.ClientAuth = pool, tls.RequireAndVerifyClientCert
	clientPair, _ := alice.GetCertificate(nil)
	client := &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{*clientPair}}

	state, err := handshake(t, server, client)
	if err != nil || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("handshake: got protocol %q, %v, want http/1.1", state.NegotiatedProtocol, err)
	}
	old := client.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, err := handshake(t, server, old); err == nil {
		t.Errorf("handshake with TLS 1.1: got no error")
	}
	stranger := client.Clone()
	stranger.RootCAs = x509.NewCertPool()
	if _, err := handshake(t, server, stranger); err == nil {
		t.Errorf("handshake of a client that does not trust the CA: got no error")
	}
}

// handshake returns the client's view of a handshake in memory.
func handshake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	a, b := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		defer a.Close()
		tls.Server(a, server).Handshake() // the client sees what went wrong
	}()
	c := tls.Client(b, client)
	err := c.Handshake()
	b.Close()
	<-served
	return c.ConnectionState(), err
}
