package main

import (
	"crypto/tls"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/certs"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// Anybody can show certificates, as fast as they like: each is refused, and counted,
// but the audit log does not grow with them.
func TestRefusedCertificatesAreCounted(t *testing.T) {
	const handshakes = 200
	dir := t.TempDir()
	ours, err := certs.OpenCA(filepath.Join(dir, "ours"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := certs.OpenCA(filepath.Join(dir, "theirs"))
	if err != nil {
		t.Fatal(err)
	}
	issued, err := theirs.Client("user1@example.com")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(issued.Chain, issued.Key)
	if err != nil {
		t.Fatal(err)
	}
	opts := testOptions(t)
	opts.clients.ca = filepath.Join(dir, "bundle.pem")
	if err := os.WriteFile(opts.clients.ca, ours.BundlePEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	ts := startServer(t, opts)
	pool, err := certs.Pool(ts.caRoot())
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{
		RootCAs: pool, ServerName: "localhost",
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	}
	for range handshakes {
		c, err := tls.Dial("tcp", ts.listeners[0].Addr().String(), config)
		if err == nil { // in TLS 1.3 the refusal is read
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if err == nil || err == io.EOF {
			t.Fatalf("handshake with a foreign certificate: %v", err)
		}
	}
	ts.end() // which writes the counts
	events, refused := ts.recorded(), 0
	for _, e := range events {
		if e.Kind != audit.Login || e.Code != protocol.CodeBadCredentials || e.Outcome != audit.OutcomeRefused {
			t.Errorf("audit holds %+v, want refused logins with bad_credentials alone", e)
		}
		if refused += max(e.Repeated, 1); e.Repeated == 0 && !strings.Contains(e.Why, "user1@example.com") {
			t.Errorf("audit holds %+v, want whose certificate it says it is", e)
		}
	}
	if refused != handshakes || len(events) > handshakes*3/4 {
		t.Errorf("audit holds %d refusals in %d lines, want %d in fewer than three quarters", refused, len(events), handshakes)
	}
}
