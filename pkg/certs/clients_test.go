package certs

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"net/url"
	"slices"
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

func TestClientsRefuse(t *testing.T) {
	g := newGate(t, nil)
	now := g.clock.now()
	issue := mustIssue(t)
	uri := &url.URL{Scheme: "spiffe", Host: "example.com", Path: "/alice"}
	crowd := issue(g.ca.Client("alice@example.com"))
	crowd.Chain = append(crowd.Chain, slices.Repeat(encodeCertificates(g.ca.intermediate), 9)...)
	tests := []struct {
		name   string
		issued Issued
		want   string
	}{
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
	g.revoke(alice)
	g.clock.advance(time.Second)
	if _, ok, err := g.Identify(&got.state); ok || err == nil || !strings.Contains(err.Error(), "revoked: ") {
		t.Errorf("identify a revoked certificate: got %v, %v", ok, err)
	}
	got.state.HandshakeComplete = false
	if _, ok, err := g.Identify(&got.state); ok || err == nil {
		t.Errorf("identify before the client has proved that it has the key: got %v, %v", ok, err)
	}
	if _, ok, err := g.Identify(nil); ok || err != nil {
		t.Errorf("identify without TLS: got %v, %v", ok, err)
	}
}
