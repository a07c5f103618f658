package certs

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// gate is a TLS server that asks for client certificates of a CA of its own, with the clock in hand.
type gate struct {
	*Clients
	t       *testing.T
	dir     string
	ca      *CA
	clock   *clock
	log     *logBuffer
	server  *tls.Config
	refused []string // what Refused was told: address, subject and reason
}

// newGate makes a gate. Change, if not nil, is called when the CA's root and intermediate are o.CA.
func newGate(t *testing.T, change func(g *gate, o *ClientOptions)) *gate {
	t.Helper()
	g := &gate{t: t, dir: t.TempDir(), ca: newTestCA(t), clock: newClock(), log: new(logBuffer)}
	g.ca.now = g.clock.now
	o := &ClientOptions{CA: write(t, g.dir, "clients.pem", g.ca.BundlePEM()), Logger: g.log.logger()}
	o.Refused = func(addr net.Addr, subject, reason string) {
		g.refused = append(g.refused, addr.String()+" "+subject+" "+reason)
	}
	if change != nil {
		change(g, o)
	}
	var err error
	if g.Clients, err = openClients(o, g.clock.now); err != nil {
		t.Fatalf("open clients: %v", err)
	}
	pair := pairOf(t, mustIssue(t)(g.ca.Server("localhost")))
	g.server = g.Server(&tls.Config{Certificates: []tls.Certificate{pair}, Time: g.clock.now})
	return g
}

// revoke adds certificates to the list of the CA.
func (g *gate) revoke(issued ...Issued) {
	g.t.Helper()
	var files []string
	for _, i := range issued {
		files = append(files, write(g.t, g.dir, "revoked-"+time.Now().String()+".pem", i.Chain))
	}
	if _, err := g.ca.Revoke(files...); err != nil {
		g.t.Fatal(err)
	}
}

func pairOf(t *testing.T, issued Issued) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(issued.Chain, issued.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// visitor is a client that resumes its sessions.
type visitor struct {
	*gate
	config *tls.Config
}

// visitor makes one that has issued, if that is not nil, and speaks one version of TLS.
func (g *gate) visitor(issued *Issued, version uint16) *visitor {
	g.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(g.ca.Root())
	v := &visitor{g, &tls.Config{
		RootCAs: pool, ServerName: "localhost", Time: g.clock.now, MinVersion: version, MaxVersion: version,
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}}
	if issued != nil {
		pair := pairOf(g.t, *issued)
		v.config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return v
}

// visit is what came of a connection.
type visit struct {
	state  tls.ConnectionState // the server's
	addr   string              // the client's
	server error               // of the server's handshake
	client error               // of the client's, or of its first read
}

// connect shakes hands and reads the server's greeting: in TLS 1.3 the client is refused no earlier.
func (v *visitor) connect() visit {
	v.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		v.t.Fatal(err)
	}
	defer l.Close()
	var got visit
	served := make(chan struct{})
	go func() {
		defer close(served)
		nc, err := l.Accept()
		if err != nil {
			got.server = err
			return
		}
		defer nc.Close()
		c := tls.Server(nc, v.server)
		if got.server = c.Handshake(); got.server == nil {
			got.state = c.ConnectionState()
			c.Write([]byte("!")) // the client says if it does not arrive
		}
	}()
	got.addr, got.client = greeted(l.Addr().String(), v.config)
	<-served
	return got
}

// greeted returns the client's address, and an error unless the server greets it.
func greeted(server string, config *tls.Config) (string, error) {
	nc, err := net.Dial("tcp", server)
	if err != nil {
		return "", err
	}
	defer nc.Close()
	c := tls.Client(nc, config)
	_, err = c.Read(make([]byte, 1))
	return nc.LocalAddr().String(), err
}

// wantUser connects and wants to be let in as user; resumed says whether in an earlier session.
func (v *visitor) wantUser(user string, resumed bool) Client {
	v.t.Helper()
	got := v.connect()
	if got.server != nil || got.client != nil {
		v.t.Fatalf("connect as %s: got %v at the server, %v at the client", user, got.server, got.client)
	}
	if got.state.DidResume != resumed {
		v.t.Errorf("connect as %s: got resumed %v, want %v", user, got.state.DidResume, resumed)
	}
	client, ok, err := v.Identify(&got.state)
	if err != nil || ok != (user != "") || client.User != user {
		v.t.Errorf("identify: got %+v, %v, %v, want %q", client, ok, err, user)
	}
	return client
}

// wantRefused connects and wants to be refused with reason, which Refused is told and which is in the server's error.
func (v *visitor) wantRefused(reason string) {
	v.t.Helper()
	v.refused = nil
	got := v.connect()
	if got.server == nil || !strings.Contains(got.server.Error(), reason) {
		v.t.Errorf("server: got %v, want %q", got.server, reason)
	}
	if len(v.refused) != 1 || !strings.HasPrefix(v.refused[0], got.addr+" ") || !strings.Contains(v.refused[0], reason) {
		v.t.Errorf("told: got %q, want once, with address %s and %q", v.refused, got.addr, reason)
	}
	var alert tls.AlertError
	if op := new(net.OpError); !errors.As(got.client, &op) && !errors.As(got.client, &alert) {
		v.t.Errorf("client: got %v, want an alert", got.client)
	}
}

var versions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

func forEachVersion(t *testing.T, f func(t *testing.T, version uint16)) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) { f(t, version) })
	}
}

// at is the CA at another time.
func (ca *CA) at(now time.Time) *CA {
	other := *ca
	other.now = func() time.Time { return now }
	return &other
}

// odd issues a certificate that Client does not make.
func (g *gate) odd(change func(c *x509.Certificate)) Issued {
	g.t.Helper()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "odd"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(template)
	return mustIssue(g.t)(g.ca.issue(template))
}
