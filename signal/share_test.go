package signal

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/certs"
	"github.com/sigctl/sigctl/pkg/listen"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/token"
	"github.com/sigctl/sigctl/pkg/user"
)

// everybody are names that belong to whoever has them.
type everybody struct{}

func (everybody) Get(_ context.Context, name string) (user.User, error) {
	return user.User{Name: name}, nil
}
func (everybody) Claim(_ context.Context, name, source string) (user.User, error) {
	return user.User{Name: name, Source: source}, nil
}

// sharedServer shares its port with a relay that says "relay" and then what it hears.
type sharedServer struct {
	*testServer
	ca      *certs.CA
	roots   *x509.CertPool
	tcp     func(ctx context.Context, network, addr string) (net.Conn, error)
	relayed chan net.Addr // whom the relay has got
	left    chan error    // how what it read has ended
}

// newSharedServer starts one, with client certificates that are optional.
func newSharedServer(t *testing.T, cfg Config) *sharedServer {
	t.Helper()
	ss := &sharedServer{relayed: make(chan net.Addr, 100), left: make(chan error, 100)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ss.share(t, &cfg)
	if cfg.Tokens, err = token.Open(t.Context(), token.FileKeys(filepath.Join(t.TempDir(), "keys.json")), token.NewMemorySpender(), nil); err != nil {
		t.Fatal(err)
	}
	cfg.Names = everybody{}
	ss.testServer = startServer(t, &cfg, l)
	ss.tcp = (&net.Dialer{}).DialContext
	return ss
}

// share sets what makes the port a shared one.
func (ss *sharedServer) share(t *testing.T, cfg *Config) {
	t.Helper()
	dir := t.TempDir()
	certificate, err := certs.Development(dir, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if ss.ca, err = certs.OpenCA(dir); err != nil {
		t.Fatal(err)
	}
	ss.roots = x509.NewCertPool()
	ss.roots.AddCert(ss.ca.Root())
	if cfg.Clients, err = certs.OpenClients(&certs.ClientOptions{CA: filepath.Join(dir, "ca", "root.pem")}); err != nil {
		t.Fatal(err)
	}
	cfg.TLS = cfg.Clients.Server(certificate.TLS("http/1.1"))
	cfg.Relay = func(nc net.Conn) {
		ss.relayed <- nc.RemoteAddr()
		io.WriteString(nc, "relay ")
		_, err := io.Copy(nc, nc)
		ss.left <- err
	}
}

// secure makes dials shake hands, offering protocols, and with the certificate of a
// client if its name is not empty.
func (ss *sharedServer) secure(client string, protocols ...string) {
	ss.t.Helper()
	config := &tls.Config{RootCAs: ss.roots, ServerName: "localhost", NextProtos: protocols}
	if client != "" {
		issued, err := ss.ca.Client(client)
		if err != nil {
			ss.t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(issued.Chain, issued.Key)
		if err != nil {
			ss.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	ss.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := ss.tcp(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return tls.Client(nc, config), nil
	}
}

// post is a request of the HTTP API over a connection of its own.
func (ss *sharedServer) post(path, body string) (status int, answer string) {
	ss.t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: ss.dial, DisableKeepAlives: true}}
	resp, err := client.Post("http://"+ss.addr+path, "application/json", strings.NewReader(body))
	if err != nil {
		ss.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		ss.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// binding is the beginning of a STUN message.
const binding = "\x00\x01\x00\x00\x21\x12\xa4\x42"

// turn opens a connection that begins as a TURN client does, and wants the relay.
func (ss *sharedServer) turn() net.Conn {
	ss.t.Helper()
	nc, err := ss.dial(ss.t.Context(), "tcp", ss.addr)
	if err != nil {
		ss.t.Fatal(err)
	}
	ss.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(nc, binding); err != nil {
		ss.t.Fatal(err)
	}
	got := make([]byte, len("relay "+binding))
	if _, err := io.ReadFull(nc, got); err != nil || string(got) != "relay "+binding {
		ss.t.Fatalf("TURN: got %q, %v, want the relay", got, err)
	}
	return nc
}

func trustedProxy(t *testing.T) *listen.Proxies {
	t.Helper()
	p, err := listen.NewProxies(&listen.ProxyOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, PROXY: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// WebSocket, HTTP API and TURN come to one port, from clients that negotiate what they
// speak and from those that do not.
func TestSharedPort(t *testing.T) {
	const header = "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n"
	for _, tt := range []struct {
		name  string
		cfg   Config
		first string
		want  string // the client's address
	}{
		{"no proxy", Config{}, "", "127.0.0.1:"},
		{"PROXY", Config{Proxies: trustedProxy(t)}, header, "192.0.2.7:56324"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ss := newSharedServer(t, tt.cfg)
			ss.tcp = prefixed(ss.tcp, tt.first)
			for name, protocols := range map[string][]string{
				"user1": {"http/1.1"}, "user2": {"h2", "http/1.1"}, "user3": nil, // which plain sockets negotiate
			} {
				ss.secure("", protocols...)
				ss.join(name).wantAlive()
				login := `{"name":"` + name + `","password":"password` + strings.TrimPrefix(name, "user") + `"}`
				if status, answer := ss.post(protocol.PathLogin, login); status != 200 || !strings.Contains(answer, `"token"`) {
					t.Errorf("%s: %s = %d %s, want a token", name, protocol.PathLogin, status, answer)
				}
			}
			for _, s := range ss.List() {
				if got := s.Address.String() + ":"; !strings.HasPrefix(tt.want, got) {
					t.Errorf("%s comes from %s, want %s", s.User, got, tt.want)
				}
			}
			for _, protocols := range [][]string{{"stun.turn"}, nil} {
				ss.secure("", protocols...)
				ss.turn()
				if got := (<-ss.relayed).String(); !strings.HasPrefix(got, tt.want) {
					t.Errorf("the relay's client is %s, want %s", got, tt.want)
				}
			}
			if n := len(ss.relayed); n != 0 {
				t.Errorf("the relay has got %d connections that are not its", n)
			}
		})
	}
}

func TestCertificatesOnASharedPort(t *testing.T) {
	ss := newSharedServer(t, Config{})
	for name, protocols := range map[string][]string{"alice@example.com": {"http/1.1"}, "bob@example.com": nil} {
		ss.secure(name, protocols...)
		c := ss.connect(name)
		c.send(`{"type":"login"}`)
		c.want(`{"type":"login","success":true,"name":"` + name + `"}`)
	}
	ss.secure("") // browsers have none for TURN
	ss.turn()
}

// The whole of a WebSocket's ways to read and write works behind a byte that was read
// ahead.
func TestWSSOnASharedPort(t *testing.T) {
	ss := newSharedServer(t, Config{})
	ss.secure("")
	a, b := ss.join("user1"), ss.join("user2")
	sdp, quoted := sdpOf(strings.Repeat("x", 40<<10)) // several TLS records
	for range 3 {
		a.send(`{"type":"offer","name":"user2","offer":{"type":"offer","sdp":` + quoted + `}}`)
		got := b.want(`{"type":"offer","name":"user1"}`)
		if text := got["offer"].(map[string]any)["sdp"]; text != sdp {
			t.Fatal("the offer came damaged")
		}
		a.wantAlive()
	}
	ss.stopWhile(func() { a.wantClose(int(protocol.CloseDraining)); b.wantClose(int(protocol.CloseDraining)) })
}

// stopWhile ends Serve while f reads what it says at the end.
func (ts *testServer) stopWhile(f func()) {
	stopped := make(chan struct{})
	go func() { defer close(stopped); ts.stop() }()
	f()
	<-stopped
}
