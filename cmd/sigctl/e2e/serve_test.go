//go:build integration

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// server is a running `sigctl serve`.
type server struct {
	*process
	data      string // --data
	url       string // wss://host:port, as it says
	relay     string // host:port, UDP; empty without a relay
	passwords map[string]string
}

// startServe starts a server on free ports of loopback, with a data directory of
// its own, and waits until it listens. args may override all that.
func startServe(t *testing.T, args ...string) *server {
	t.Helper()
	return serveIn(t, newDataDir(t), args)
}

// newDataDir returns an empty data directory, with a path that is short enough
// for a socket in it.
func newDataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sigctl-e2e-data-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// loopback lets serve listen on free ports that only this machine reaches.
var loopback = []string{"--listen", "127.0.0.1:0", "--turn-listen", "127.0.0.1:0"}

// serveIn starts a server with the data directory.
func serveIn(t *testing.T, data string, args []string, opts ...option) *server {
	t.Helper()
	argv := append([]string{sigctl, "serve", "--data", data}, loopback...)
	return waitServing(t, start(t, "serve", append(argv, args...), opts...), data)
}

// waitServing waits until a server that was started listens.
func waitServing(t *testing.T, p *process, data string) *server {
	t.Helper()
	s := &server{process: p, data: data, passwords: map[string]string{"user1": "password1", "user2": "password2"}}
	s.url = p.wantStatus(`^  signal +(wss?://\S+)$`)[1]
	p.wantStatus("^Next, in two other terminals")
	for line := range strings.Lines(p.err.all()) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "ICE" && strings.HasPrefix(fields[1], "turn:") {
			s.relay, _, _ = strings.Cut(strings.TrimPrefix(fields[1], "turn:"), "?")
		}
	}
	return s
}

// chat starts a chat of user, and waits until it is signed in.
func (s *server) chat(user string, args ...string) *process {
	s.t.Helper()
	p := s.startChat(user, args)
	p.wantStatus("^Signed in as " + user + " at ")
	return p
}

// startChat starts a chat of user, who may not be able to sign in.
func (s *server) startChat(user string, args []string, opts ...option) *process {
	s.t.Helper()
	argv := append([]string{sigctl, "chat", "--data", s.data, "--server", s.url, "--user", user}, args...)
	return start(s.t, user, argv, append(opts, withEnv("SIGCTL_PASSWORD="+s.passwords[user]))...)
}

// sigctl runs another command with the server's data directory.
func (s *server) sigctl(args ...string) *process {
	s.t.Helper()
	return run(s.t, "sigctl "+strings.Join(args[:2], " "), append([]string{sigctl, "--data", s.data}, args...))
}

// add makes a user with a password.
func (s *server) add(user string, args ...string) {
	s.t.Helper()
	password := "password-of-" + user
	argv := append([]string{sigctl, "user", "add", user, "--data", s.data}, args...)
	run(s.t, "user add", argv, withInput(password+"\n")).wantExit(0)
	s.passwords[user] = password
}

// addr is the address of signaling on loopback, whatever its name is.
func (s *server) addr() string {
	u, err := url.Parse(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", u.Port())
}

func (s *server) caFile() string { return filepath.Join(s.data, "ca", "root.pem") }

// trust is a client's TLS that trusts the server's CA alone.
func (s *server) trust() *tls.Config {
	s.t.Helper()
	pem, err := os.ReadFile(s.caFile())
	if err != nil {
		s.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		s.t.Fatalf("%s holds no certificate", s.caFile())
	}
	return &tls.Config{RootCAs: pool}
}

// wantNothingLeft checks what an ended server leaves: nobody listens, and neither
// its socket nor its temporary files are there.
func (s *server) wantNothingLeft() {
	s.t.Helper()
	s.wait()
	if c, err := net.Dial("tcp", s.addr()); err == nil {
		c.Close()
		s.t.Errorf("%s still listens", s.addr())
	}
	if _, err := os.Stat(filepath.Join(s.data, "run", "admin.sock")); err == nil {
		s.t.Error("the admin socket is still there")
	}
	s.wantTempEmpty()
}

func (p *process) wantTempEmpty() {
	p.t.Helper()
	if left, err := os.ReadDir(p.tmp); err != nil || len(left) > 0 {
		p.t.Errorf("%s left temporary files: %v %v", p.name, left, err)
	}
}
