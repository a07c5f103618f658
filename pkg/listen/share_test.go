package listen

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigctl/sigctl/pkg/certs"
)

// pipes is a listener whose connections are in memory.
type pipes struct {
	conns chan accepted
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan accepted), make(chan struct{})} }

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case a := <-l.conns:
		return a.conn, a.err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error   { close(l.done); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443} }

// identity is a server's certificate, and who vouches for it.
type identity struct {
	server *tls.Config
	roots  *x509.CertPool
}

func newIdentity(t *testing.T) identity {
	t.Helper()
	dir := t.TempDir()
	own, err := certs.Development(dir, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	roots, err := certs.Pool(filepath.Join(dir, "ca", "root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	config, now := own.TLS(alpnHTTP), time.Now()
	config.Time = func() time.Time { return now } // not the bubble's: certificates are from outside
	return identity{config, roots}
}

// port is a shared port in a synctest bubble.
type port struct {
	*Shared
	t     *testing.T
	id    identity
	pipes *pipes
	log   *bytes.Buffer
}

// newPort shares a port of pipes, with relay as its relay.
func newPort(t *testing.T, id identity) *port {
	t.Helper()
	config, err := ShareTLS(id.server)
	if err != nil {
		t.Fatal(err)
	}
	p := &port{t: t, id: id, pipes: newPipes(), log: &bytes.Buffer{}}
	p.Shared = Share(p.pipes, &ShareOptions{
		TLS:    config,
		Relay:  relay,
		Logger: slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	return p
}

// relay answers three bytes with "relay " and themselves.
func relay(nc net.Conn) {
	var head [3]byte
	if _, err := io.ReadFull(nc, head[:]); err == nil {
		io.WriteString(nc, "relay "+string(head[:]))
	}
}

// serveHTTP answers requests with "http", their path and the protocol that TLS has negotiated.
func (p *port) serveHTTP() *http.Server {
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "http "+r.URL.Path+" "+r.TLS.NegotiatedProtocol)
		}),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	go server.Serve(p)
	return server
}

// dial opens a connection without a handshake.
func (p *port) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.pipes.conns <- accepted{conn: theirs}
	return ours
}

// secure shakes hands as a client that offers protocols.
func (p *port) secure(nc net.Conn, protocols ...string) *tls.Conn {
	return tls.Client(nc, &tls.Config{RootCAs: p.id.roots, ServerName: "localhost", NextProtos: protocols, Time: p.id.server.Time})
}

// talk sends text and returns what comes until the end, or the alert that TLS ends with.
func talk(nc net.Conn, text string) string {
	defer nc.Close()
	go io.WriteString(nc, text)
	got, err := io.ReadAll(nc)
	if op := new(net.OpError); errors.As(err, &op) {
		return err.Error()
	}
	return string(got)
}

const request = "GET /x HTTP/1.0\r\n\r\n"

func TestWhoseAConnectionIs(t *testing.T) {
	id := newIdentity(t)
	for _, tt := range []struct {
		offer, send, want string
		after             time.Duration
	}{
		{"stun.turn", "\x00\x03\x00", "relay \x00\x03\x00", 0},
		{"stun.turn", "GET", "relay GET", 0},
		{"stun.turn h2 http/1.1", "GET", "relay GET", 0},
		{"stun.nat-discovery", "\x00\x01\x00", "relay \x00\x01\x00", 0},
		{"http/1.1", request, "http /x http/1.1", 0},
		{"h2 http/1.1", request, "http /x http/1.1", 0},
		{"h2", request, "remote error: tls: no application protocol", 0},
		{"ftp", request, "remote error: tls: no application protocol", 0},
		{"", request, "http /x ", 0},
		{"", "\x00\x03\x00", "relay \x00\x03\x00", 0},
		{"", "\x01\x01\x00", "relay \x01\x01\x00", 0},
		{"", "\x02\x01\x00", "", 0},
		{"", "\x40\x00\x00", "", 0}, // ChannelData cannot be first
		{"", "\x16\x03\x01", "", 0},
		{"", "\x80", "", 0},
		{"", " ", "", 0},
		{"", "", "", defaultShareTimeout},
	} {
		name := "offers " + tt.offer + ", says " + tt.send
		synctest.Test(t, func(t *testing.T) {
			p := newPort(t, id)
			server := p.serveHTTP()
			begin := time.Now()
			got := talk(p.secure(p.dial(), strings.Fields(tt.offer)...), tt.send)
			if _, body, ok := strings.Cut(got, "\r\n\r\n"); ok {
				got = body
			}
			if got != tt.want {
				t.Errorf("%q: got %q, want %q", name, got, tt.want)
			}
			if after := time.Since(begin); after != tt.after {
				t.Errorf("%q: took %v, want %v", name, after, tt.after)
			}
			server.Close()
			p.Wait()
		})
	}
}

func TestPlainTextIsTold(t *testing.T) {
	id := newIdentity(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPort(t, id)
		server := p.serveHTTP()
		if got := talk(p.dial(), request); !strings.HasPrefix(got, "HTTP/1.0 400 ") {
			t.Errorf("HTTP without TLS: got %q, want 400", got)
		}
		if got := talk(p.dial(), "\x00\x01\x00\x00\x21\x12\xa4\x42"); strings.Contains(got, "HTTP") {
			t.Errorf("STUN without TLS: got %q", got)
		}
		server.Close()
		p.Wait()
	})
}

// Those who are slow keep nobody else waiting, and are gone after their time, wherever they have stopped.
func TestStalled(t *testing.T) {
	id := newIdentity(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPort(t, id)
		server := p.serveHTTP()
		begin := time.Now()
		var all []net.Conn
		for n := range 100 {
			nc := p.dial()
			if n%2 == 0 {
				io.WriteString(nc, "\x16\x03\x01\x02\x00\x01") // the beginning of a hello
			} else if err := p.secure(nc).Handshake(); err != nil {
				t.Fatal(err)
			}
			all = append(all, nc)
		}
		for _, tt := range []struct{ offer, send string }{{"http/1.1", request}, {"stun.turn", "GET"}, {"", "\x00\x03\x00"}} {
			if got := talk(p.secure(p.dial(), strings.Fields(tt.offer)...), tt.send); got == "" {
				t.Errorf("%q beside those who are stalled: no answer", tt.offer)
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("the others were served after %v", took)
		}
		for _, nc := range all {
			io.Copy(io.Discard, nc)
		}
		if took := time.Since(begin); took != defaultShareTimeout {
			t.Errorf("the last of those who are stalled is closed after %v, want %v", took, defaultShareTimeout)
		}
		server.Close()
		p.Wait()
	})
}
