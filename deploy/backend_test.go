//go:build integration

package deploy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/listen"
)

// seen is what the backend knows of a request, and its answer.
type seen struct {
	Client string
	Header http.Header
}

// backend stands for sigctl: it answers every request with whom it comes from.
type backend struct {
	proxies *listen.Proxies

	mu      sync.Mutex
	clients map[netip.Addr]bool // guarded by mu: from whom requests came
}

// startBackend serves on all addresses of the machine, so that clients can also
// come to it without the proxy.
func startBackend(t *testing.T, on machine, config *tls.Config) *backend {
	t.Helper()
	options := &listen.ProxyOptions{
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		PROXY:   config != nil,
	}
	proxies, err := listen.NewProxies(options)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{proxies: proxies, clients: map[netip.Addr]bool{}}
	l := net.Listener(&proxiedListener{on.listen(t, ":9090"), proxies})
	if config != nil {
		l = tls.NewListener(l, config)
	}
	server := &http.Server{Handler: b, ErrorLog: log.New(io.Discard, "", 0)} // forgeries fail, as they should
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	peer := netip.MustParseAddrPort(r.RemoteAddr).Addr()
	client := b.proxies.Client(peer, r.Header)
	b.mu.Lock()
	b.clients[client] = true
	b.mu.Unlock()
	json.NewEncoder(w).Encode(seen{client.String(), r.Header})
}

// wantClients checks that all requests came from those addresses.
func (b *backend) wantClients(t *testing.T, want ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, addr := range want {
		delete(b.clients, netip.MustParseAddr(addr))
	}
	if len(b.clients) > 0 {
		t.Errorf("the backend took clients for %v, want %v alone", b.clients, want)
	}
}

type proxiedListener struct {
	net.Listener
	proxies *listen.Proxies
}

func (l *proxiedListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &proxiedConn{Conn: nc, proxies: l.proxies}, nil
}

// proxiedConn reads the PROXY header when it is first asked for something, which
// is in the connection's own goroutine.
type proxiedConn struct {
	net.Conn
	proxies *listen.Proxies

	once   sync.Once
	client netip.AddrPort
	rest   io.Reader
	err    error
}

func (c *proxiedConn) begin() {
	c.client = netip.MustParseAddrPort(c.Conn.RemoteAddr().String())
	c.rest = c.Conn
	if !c.proxies.Expects(c.client.Addr()) {
		return
	}
	client, rest, err := listen.ReadPROXY(c.Conn)
	if client.IsValid() {
		c.client = client
	}
	c.rest, c.err = io.MultiReader(bytes.NewReader(rest), c.Conn), err
}

func (c *proxiedConn) RemoteAddr() net.Addr {
	c.once.Do(c.begin)
	return net.TCPAddrFromAddrPort(c.client)
}

func (c *proxiedConn) Read(b []byte) (int, error) {
	c.once.Do(c.begin)
	if c.err != nil {
		return 0, c.err
	}
	return c.rest.Read(b)
}

// newCertificate makes a certificate for the configurations' name, as PEM.
func newCertificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{serverName},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
