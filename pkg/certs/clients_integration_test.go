//go:build integration

package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// site is an HTTPS server that tells its clients who they are.
type site struct {
	t    *testing.T
	dir  string
	ca   *CA
	addr string

	ahead atomic.Int64 // of the real time, in nanoseconds

	mu      sync.Mutex
	refused []string // reasons
}

func newSite(t *testing.T, change func(s *site, o *ClientOptions)) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), ca: newTestCA(t)}
	o := &ClientOptions{CA: write(t, s.dir, "clients.pem", s.ca.BundlePEM()), Refused: s.refuse}
	if change != nil {
		change(s, o)
	}
	clients, err := openClients(o, func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) })
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	write(t, s.dir, "root.pem", s.ca.RootPEM())
	server := &http.Server{
		TLSConfig: clients.Server(&tls.Config{Certificates: []tls.Certificate{pairOf(t, mustIssue(t)(s.ca.Server("127.0.0.1")))}}),
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			client, _, err := clients.Identify(r.TLS)
			fmt.Fprintf(w, "you are %q, %v", client.User, err)
		}),
	}
	done := make(chan struct{})
	go func() { defer close(done); server.ServeTLS(l, "", "") }() // the clients say if it does not
	t.Cleanup(func() { server.Close(); <-done })
	return s
}

func (s *site) refuse(_ net.Addr, _, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = append(s.refused, reason)
}

// reason returns and forgets why the one client since the last call was refused.
func (s *site) reason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.refused = nil }()
	return strings.Join(s.refused, " and ")
}

// keep writes what was issued into a file.
func (s *site) keep(name string, issued Issued) string {
	s.t.Helper()
	return write(s.t, s.dir, name, slices.Concat(issued.Chain, issued.Key))
}

// run runs a program with a line-based input, and returns all it prints.
func (s *site) run(input, name string, args ...string) (string, error) {
	s.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		s.t.Fatalf("%s is missing: install the package %s", name, name)
	}
	cmd := exec.CommandContext(s.t.Context(), path, args...)
	cmd.Dir, cmd.Stdin = s.dir, strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// sClient makes a request with openssl s_client, which sends no CA's certificate. It ends when the server does.
func (s *site) sClient(version, cert string, more ...string) (string, error) {
	s.t.Helper()
	args := []string{"s_client", "-connect", s.addr, "-CAfile", "root.pem", "-verify_return_error", "-ign_eof", version}
	if cert != "" {
		args = append(args, "-cert", cert, "-key", cert)
	}
	return s.run("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "openssl", append(args, more...)...)
}

// curl makes a request with curl, which sends the whole chain.
func (s *site) curl(version, cert string) (string, error) {
	s.t.Helper()
	args := []string{"-sS", "--noproxy", "*", "--cacert", "root.pem"}
	if version == "-tls1_2" {
		args = append(args, "--tls-max", "1.2")
	} else {
		args = append(args, "--tlsv1.3")
	}
	if cert != "" {
		args = append(args, "--cert", cert, "--key", cert)
	}
	return s.run("", "curl", append(args, "https://"+s.addr+"/")...)
}

var tlsFlags = []string{"-tls1_2", "-tls1_3"}

// What openssl s_client and curl see of each kind of certificate, and what the server says of it.
func TestWitnesses(t *testing.T) {
	s := newSite(t, func(s *site, o *ClientOptions) {
		o.CRL = s.ca.CRLPath()
		revoked := mustIssue(t)(s.ca.Client("revoked@example.com"))
		if _, err := s.ca.Revoke(s.keep("revoked.pem", revoked)); err != nil {
			t.Fatal(err)
		}
	})
	issue, now := mustIssue(t), time.Now()
	tests := []struct{ name, cert, want, reason string }{
		{"accepted", s.keep("alice.pem", issue(s.ca.Client("alice@example.com"))), `you are "alice@example.com", <nil>`, ""},
		{"none", "", `you are "", <nil>`, ""},
		{"expired", s.keep("expired.pem", issue(s.ca.at(now.Add(-400*day)).Client("a@example.com"))), "bad certificate", "expired: "},
		{"not yet valid", s.keep("early.pem", issue(s.ca.at(now.Add(2*day)).Client("a@example.com"))), "bad certificate", "not yet valid: "},
		{"wrong CA", s.keep("wrong.pem", issue(newTestCA(t).Client("a@example.com"))), "bad certificate", "wrong CA: "},
		{"a server's", s.keep("server.pem", issue(s.ca.Server("a.example.com"))), "bad certificate", "not for client authentication: "},
		{"no identity", s.keep("plain.pem", issue(s.ca.Client("alice"))), "bad certificate", "no identity: "},
		{"revoked", filepath.Join(s.dir, "revoked.pem"), "bad certificate", "revoked: "},
	}
	for _, tt := range tests {
		for _, version := range tlsFlags {
			for program, ask := range map[string]func() (string, error){
				"s_client": func() (string, error) { return s.sClient(version, tt.cert) },
				"curl":     func() (string, error) { return s.curl(version, tt.cert) },
			} {
				out, err := ask()
				if !strings.Contains(out, tt.want) || (err == nil) != (tt.reason == "") {
					t.Errorf("%s, %s %s: got %v, want %q in\n%s", tt.name, program, version, err, tt.want, out)
				}
				if got := s.reason(); !strings.HasPrefix(got, tt.reason) || (got == "") != (tt.reason == "") {
					t.Errorf("%s, %s %s: told %q, want %q", tt.name, program, version, got, tt.reason)
				}
			}
		}
	}
	// The server says whose certificates it takes.
	out, err := s.sClient("-tls1_3", "alice.pem")
	for _, ca := range []*x509.Certificate{s.ca.root, s.ca.intermediate} {
		if err != nil || !strings.Contains(out, "CN = "+ca.Subject.CommonName+"\n") {
			t.Errorf("s_client: got %v, want %s among the acceptable CAs:\n%s", err, ca.Subject.CommonName, out)
		}
	}
}

func TestWitnessRequired(t *testing.T) {
	s := newSite(t, func(_ *site, o *ClientOptions) { o.Required = true })
	alice := s.keep("alice.pem", mustIssue(t)(s.ca.Client("alice@example.com")))
	for version, alert := range map[string]string{"-tls1_2": "handshake failure", "-tls1_3": "certificate required"} {
		if out, err := s.sClient(version, alice); err != nil || !strings.Contains(out, "you are") {
			t.Errorf("s_client %s with a certificate: got %v in\n%s", version, err, out)
		}
		if out, err := s.sClient(version, ""); err == nil || !strings.Contains(out, alert) {
			t.Errorf("s_client %s without: got %v, want %q in\n%s", version, err, alert, out)
		}
		if out, err := s.curl(version, ""); err == nil || strings.Contains(out, "you are") {
			t.Errorf("curl %s without: got %v in\n%s", version, err, out)
		}
	}
}

// A revoked certificate is refused in a session that was opened before, too.
func TestWitnessResumes(t *testing.T) {
	for _, version := range tlsFlags {
		s := newSite(t, func(s *site, o *ClientOptions) {
			if _, err := s.ca.CRL(false); err != nil {
				t.Fatal(err)
			}
			o.CRL = s.ca.CRLPath()
		})
		alice := s.keep("alice.pem", mustIssue(t)(s.ca.Client("alice@example.com")))
		if out, err := s.sClient(version, alice, "-sess_out", "session"); err != nil || !strings.Contains(out, "you are") {
			t.Fatalf("s_client %s: got %v in\n%s", version, err, out)
		}
		out, err := s.sClient(version, alice, "-sess_in", "session")
		if err != nil || !strings.Contains(out, "Reused, TLSv1.") || !strings.Contains(out, `you are "alice@example.com", <nil>`) {
			t.Errorf("s_client %s, resumed: got %v in\n%s", version, err, out)
		}
		if _, err := s.ca.Revoke(alice); err != nil {
			t.Fatal(err)
		}
		s.ahead.Store(int64(statEvery)) // the server looks at its files again
		out, err = s.sClient(version, alice, "-sess_in", "session")
		if err == nil || strings.Contains(out, "you are") || !strings.Contains(out, "bad certificate") {
			t.Errorf("s_client %s, resumed and revoked: got %v in\n%s", version, err, out)
		}
		if got := s.reason(); !strings.HasPrefix(got, "revoked: CN=alice@example.com") {
			t.Errorf("s_client %s, resumed and revoked: told %q", version, got)
		}
	}
}

// openssl accepts our revocation list, and says the same of whom it revokes.
func TestOpenSSLReadsOurCRL(t *testing.T) {
	s := newSite(t, nil)
	alice := s.keep("alice.pem", mustIssue(t)(s.ca.Client("alice@example.com")))
	bob := s.keep("bob.pem", mustIssue(t)(s.ca.Client("bob@example.com")))
	if _, err := s.ca.Revoke(bob); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{alice: "alice.pem: OK", bob: "certificate revoked"} {
		out, err := s.run("", "openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-crl_check",
			"-CAfile", "root.pem", "-untrusted", "clients.pem", "-CRLfile", s.ca.CRLPath(), file)
		if !strings.Contains(out, want) || (err == nil) != (file == alice) {
			t.Errorf("openssl verify %s: got %v, want %q in\n%s", file, err, want, out)
		}
	}
}

// opensslCA makes, with openssl alone, a root, a CA below it, two clients' certificates and a list that revokes bob's.
const opensslCA = `set -e
printf '[ca]\ndefault_ca=own\n[own]\ndatabase=index\nserial=serial\ncrlnumber=serial.crl\nnew_certs_dir=.\ndefault_md=sha256\ndefault_crl_days=7\npolicy=any\nunique_subject=no\n[any]\ncommonName=supplied\n' > ca.cnf
: > index; echo 1000 > serial; echo 01 > serial.crl
printf 'basicConstraints=critical,CA:true\nkeyUsage=keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n' > second.ext
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }
key root; key second
openssl req -x509 -new -key root.key -subj '/CN=Root' -days 9 -out root.crt
openssl req -new -key second.key -subj '/CN=Second' |
  openssl x509 -req -CA root.crt -CAkey root.key -CAcreateserial -days 9 -extfile second.ext -out second.crt
for name in alice bob; do
  key $name
  printf "extendedKeyUsage=clientAuth\nsubjectAltName=email:$name@example.com,URI:spiffe://example.com/$name\n" > $name.ext
  openssl req -new -key $name.key -subj "/CN=$name" -out $name.csr
  openssl ca -batch -config ca.cnf -cert second.crt -keyfile second.key -days 9 -extfile $name.ext -in $name.csr -notext -out $name.crt
  cat $name.crt $name.key > $name.pem
done
openssl ca -config ca.cnf -cert second.crt -keyfile second.key -revoke bob.crt
openssl ca -config ca.cnf -cert second.crt -keyfile second.key -gencrl -out list.crl
cat root.crt second.crt > bundle.crt`

// What openssl made is read as openssl means it, with each rule for the identity.
func TestChainOfOpenSSL(t *testing.T) {
	for rule, name := range map[string]string{
		"email": "alice@example.com", "cn": "alice", `uri-regexp=spiffe://example\.com/(.+)`: "alice",
	} {
		s := newSite(t, func(s *site, o *ClientOptions) {
			if out, err := s.run("", "sh", "-c", opensslCA); err != nil {
				t.Fatalf("make a CA with openssl: %v\n%s", err, out)
			}
			o.CA, o.CRL, o.Identity = filepath.Join(s.dir, "bundle.crt"), filepath.Join(s.dir, "list.crl"), rule
		})
		for _, version := range tlsFlags {
			if out, err := s.sClient(version, "alice.pem"); err != nil || !strings.Contains(out, fmt.Sprintf("you are %q, <nil>", name)) {
				t.Errorf("alice, %s, %s: got %v, want %s in\n%s", rule, version, err, name, out)
			}
			if out, err := s.sClient(version, "bob.pem"); err == nil || !strings.Contains(out, "bad certificate") {
				t.Errorf("bob, %s, %s: got %v in\n%s", rule, version, err, out)
			}
			if got := s.reason(); !strings.HasPrefix(got, "revoked: CN=bob, by CN=Second on ") {
				t.Errorf("bob, %s, %s: told %q", rule, version, got)
			}
		}
	}
}
