//go:build integration

package e2e

import (
	"crypto/tls"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// clientCerts is a data directory whose CA issues client certificates.
type clientCerts struct {
	t    *testing.T
	data string
	args []string // of serve, to take them
}

func newClientCerts(t *testing.T) *clientCerts {
	t.Helper()
	cc := &clientCerts{t: t, data: newDataDir(t)}
	bundle := filepath.Join(cc.data, "clients.pem")
	cc.cert("ca", "--bundle", "--out", bundle)
	cc.cert("crl")
	cc.args = []string{"--client-ca", bundle, "--client-crl", filepath.Join(cc.data, "ca", "crl.pem")}
	return cc
}

func (cc *clientCerts) cert(args ...string) {
	cc.t.Helper()
	run(cc.t, "cert", append([]string{sigctl, "--data", cc.data, "cert"}, args...)).wantExit(0)
}

// issue returns a file with a user's certificate and its key.
func (cc *clientCerts) issue(user string) string {
	cc.t.Helper()
	file := filepath.Join(cc.data, user+".pem")
	cc.cert("client", user, "--out", file)
	return file
}

// withCertificate is a client that has the certificate in a file.
func (s *server) withCertificate(t *testing.T, file string) *client {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		t.Fatal(err)
	}
	return s.from(t, "127.0.0.1", pair)
}

// A certificate signs its user in without a password, and nobody else.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	const alice, carol = "alice@example.com", "carol@example.com"
	cc := newClientCerts(t)
	file := cc.issue(alice)
	s := serveIn(t, cc.data, cc.args)
	s.add("bob")
	s.add(carol)

	login := "https://" + s.addr() + "/api/login"
	if got := s.curl(t, login, "--cert", file, "--json", "{}"); !strings.Contains(got, `"token":"`) || !strings.HasSuffix(got, "\n200") {
		t.Errorf("curl with a certificate got %s, want a token", tail(got))
	}
	s.wantEvent("token_issued ok user=" + alice + " by=certificate message=POST /api/login")
	s.sigctl("user", "add", alice).wantExit(1) // the name is the CA's now

	c := s.withCertificate(t, file)
	session, _ := c.signIn(message{"name": alice})
	s.wantEvent("login ok user=" + alice + " by=certificate room=lobby")
	const forbidden = "login forbidden user=bob"
	password := s.passwords["bob"]
	c.wantRefused("forbidden", message{"name": "bob"})
	c.wantRefused("forbidden", message{"name": "bob", "password": password})
	s.wantRecorded(2, forbidden, "certificate of user "+alice)
	c.wantCode("forbidden", "POST", "/api/login", "", message{"name": "bob", "password": password})
	s.wantRecorded(1, forbidden+" by=password message=POST /api/login", "certificate of user "+alice)
	bob := s.local(t)
	access := bob.accessToken("bob")
	c.wantCode("forbidden", "GET", "/api/rooms/join", access, nil)
	s.wantRecorded(1, "token_refused forbidden user=bob by=token message=GET /api/rooms/join", "certificate of user "+alice)
	c.wantRefused("forbidden", message{"token": bob.roomToken(access, "lobby")})
	s.wantRecorded(1, forbidden+" by=token room=lobby", "certificate of user "+alice)

	bob.wantRefused("bad_credentials", message{"name": alice}) // without the certificate
	bob.signIn(message{"name": "bob", "password": password})
	session.wantAlive()

	s.withCertificate(t, cc.issue(carol)).wantRefused("forbidden", message{"name": carol}) // a local user's name
	s.wantRecorded(1, "login forbidden user="+carol+" by=certificate", "another source")
}

// What is revoked is refused from then on by a server that runs: on new connections,
// resumed ones, and those that are open.
func TestRevokedCertificate(t *testing.T) {
	t.Parallel()
	cc := newClientCerts(t)
	alice, dave := cc.issue("alice@example.com"), cc.issue("dave@example.com")
	s := serveIn(t, cc.data, cc.args)
	c := s.withCertificate(t, alice)
	c.want("POST", "/api/login", "", message{})
	if !c.dial().NetConn().(*tls.Conn).ConnectionState().DidResume {
		t.Fatal("the second connection does not resume the TLS session of the first: the test proves little")
	}

	cc.cert("revoke", alice)
	const refused = "login bad_credentials by=certificate"
	until(t, "TLS refuses the revoked certificate", func() bool {
		ws, err := s.withCertificate(t, alice).tryDial()
		if err == nil {
			ws.Close()
		}
		return err != nil && !errors.Is(err, websocket.ErrBadHandshake) // which a request gets between TLS and the list's change
	})
	health := "https://" + s.addr() + "/healthz"
	if got := s.curl(t, health, "--cert", alice); strings.HasPrefix(got, "OK") {
		t.Errorf("curl with a revoked certificate got %s", got)
	}
	if ws, err := c.tryDial(); err == nil {
		ws.Close()
		t.Error("a revoked certificate is taken where it resumes a TLS session")
	}
	s.wantRecorded(3, refused, "certificate of CN=alice@example.com: revoked")
	c.wantCode("forbidden", "POST", "/api/login", "", message{}) // its connection is from before
	s.wantRecorded(1, "login forbidden message=POST /api/login", "revoked")
	s.withCertificate(t, dave).signIn(message{"name": "dave@example.com"})

	other := newClientCerts(t).issue("dave@example.com")
	if got := s.curl(t, health, "--cert", other); strings.HasPrefix(got, "OK") {
		t.Errorf("a certificate of another CA is taken: %s", got)
	}
	s.wantRecorded(1, refused, "certificate of CN=dave@example.com: wrong CA")
}

// Where certificates are required, who has none gets no further than TLS.
func TestCertificateRequired(t *testing.T) {
	t.Parallel()
	cc := newClientCerts(t)
	alice := cc.issue("alice@example.com")
	s := serveIn(t, cc.data, append(cc.args, "--client-auth", "required"))
	const request = "GET /healthz HTTP/1.0\r\n\r\n"
	for _, tt := range []struct {
		args string
		want string
	}{
		{"-tls1_2", "alert"},
		{"-tls1_3", "certificate required"},
		{"-tls1_2 -cert " + alice, "\nOK"},
		{"-tls1_3 -cert " + alice, "\nOK"},
	} {
		argv := append([]string{needProgram(t, "openssl", "openssl"), "s_client", "-connect", s.addr(), "-CAfile", s.caFile(),
			"-ign_eof"}, strings.Fields(tt.args)...)
		p := start(t, "openssl", argv, withInput(request))
		p.wait()
		got := p.out.all() + p.err.all()
		if !strings.Contains(got, tt.want) || strings.Contains(got, "\nOK") != (tt.want == "\nOK") {
			t.Errorf("openssl s_client %s: want %q in:\n%s", tt.args, tt.want, tail(got))
		}
	}
}
