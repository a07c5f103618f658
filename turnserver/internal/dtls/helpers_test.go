package dtls

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/transport/v5/deadline"
	"go.uber.org/goleak"
	"golang.org/x/crypto/cryptobyte"

	pion "github.com/pion/dtls/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var server = netip.MustParseAddrPort("192.0.2.1:5349")

// testListener is a Listener on a socket in memory. Its clients call receive themselves.
type testListener struct {
	*testing.T
	*Listener

	// guarded by mu
	mu      sync.Mutex
	inboxes map[netip.AddrPort]chan []byte
	lose    func(p []byte) bool // of what the server sends
	packets int                 // sent to where nobody is
	bytes   int
}

func newTestListener(t *testing.T, cfg *Config) *testListener {
	t.Helper()
	full := Config{}
	if cfg != nil {
		full = *cfg
	}
	if full.Certificate == nil {
		full.Certificate = fixed(newCertificate(t))
	}
	if full.Handle == nil {
		full.Handle = echo
	}
	l, err := New(&full)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &testListener{T: t, Listener: l, inboxes: map[netip.AddrPort]chan []byte{}}
}

// simulated runs a test of a Listener on simulated time.
func simulated(t *testing.T, cfg *Config, test func(tl *testListener)) {
	synctest.Test(t, func(t *testing.T) { test(newTestListener(t, cfg)) })
}

func newCertificate(t testing.TB) *tls.Certificate {
	t.Helper()
	c, err := selfsign.GenerateSelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

func fixed(c *tls.Certificate) func() (*tls.Certificate, error) {
	return func() (*tls.Certificate, error) { return c, nil }
}

// echo sends back what it gets.
func echo(c net.Conn) {
	b := make([]byte, maxPacket)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
	}
}

// LocalAddr and WriteTo make a testListener the socket.

func (tl *testListener) LocalAddr() netip.AddrPort { return server }

func (tl *testListener) WriteTo(p []byte, to netip.AddrPort) error {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	inbox := tl.inboxes[to]
	switch {
	case inbox == nil:
		tl.packets++
		tl.bytes += len(p)
	case tl.lose == nil || !tl.lose(p):
		select {
		case inbox <- slices.Clone(p):
		default:
		}
	}
	return nil
}

func (tl *testListener) losing(lose func(p []byte) bool) {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	tl.lose = lose
}

// sent is what went to where nobody is.
func (tl *testListener) sent() (packets, bytes int) {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	return tl.packets, tl.bytes
}

func (tl *testListener) from(address string, p []byte) {
	tl.receive(tl, netip.MustParseAddrPort(address), p)
}

func (tl *testListener) wantStats(sessions, halfOpen int) {
	tl.Helper()
	if got := tl.Stats(); got.Sessions != sessions || got.HalfOpen != halfOpen {
		tl.Errorf("%d sessions and %d half-open, want %d and %d: %+v", got.Sessions, got.HalfOpen, sessions, halfOpen, got)
	}
}

func (tl *testListener) wantRefused(want map[Reason]uint64) {
	tl.Helper()
	for reason, got := range tl.Stats().Refused {
		if got != want[reason] {
			tl.Errorf("refused as %v: %d, want %d", reason, got, want[reason])
		}
	}
}

// wantNothing checks that nothing is kept of anybody.
func (tl *testListener) wantNothing() {
	tl.Helper()
	tl.wantStats(0, 0)
	tl.Listener.mu.Lock()
	defer tl.Listener.mu.Unlock()
	if n := len(tl.peers) + len(tl.admission.addrs); n != 0 {
		tl.Errorf("%d peers, %d addresses are kept, want none", len(tl.peers), len(tl.admission.addrs))
	}
}

// client is pion/dtls's, at a socket in memory.
type client struct {
	tl   *testListener
	addr netip.AddrPort
	lose func(p []byte) bool // of what it sends
	conn *pion.Conn

	inbox    chan []byte
	readable *deadline.Deadline
	closed   chan struct{}
	close    sync.Once
}

// newClient returns a client that is not connected. It takes the place of another at its address.
func (tl *testListener) newClient(address string) *client {
	c := &client{
		tl: tl, addr: netip.MustParseAddrPort(address),
		inbox: make(chan []byte, 1000), readable: deadline.New(), closed: make(chan struct{}),
	}
	tl.mu.Lock()
	defer tl.mu.Unlock()
	tl.inboxes[c.addr] = c.inbox
	return c
}

// connect does the handshake, and waits until both sides know its outcome.
func (c *client) connect() error {
	conn, err := pion.ClientWithOptions(c, net.UDPAddrFromAddrPort(server),
		pion.WithInsecureSkipVerify(true), pion.WithLoggerFactory(silence()))
	if err != nil {
		return err
	}
	c.conn = conn
	c.tl.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(c.tl.Context(), time.Minute)
	defer cancel()
	defer synctest.Wait()
	return conn.HandshakeContext(ctx)
}

// dial returns a client that is connected.
func (tl *testListener) dial(address string) *client {
	tl.Helper()
	c := tl.newClient(address)
	if err := c.connect(); err != nil {
		tl.Fatalf("%s: %v, %+v", address, err, tl.Stats())
	}
	return c
}

func (c *client) write(message string) {
	c.tl.Helper()
	if _, err := c.conn.Write([]byte(message)); err != nil {
		c.tl.Fatalf("%v: write: %v", c.addr, err)
	}
}

func (c *client) read() string {
	c.tl.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		c.tl.Fatal(err)
	}
	b := make([]byte, maxPacket)
	n, err := c.conn.Read(b)
	if err != nil {
		c.tl.Fatalf("%v: read: %v", c.addr, err)
	}
	return string(b[:n])
}

func (c *client) wantEcho(message string) {
	c.tl.Helper()
	c.write(message)
	if got := c.read(); got != message {
		c.tl.Fatalf("%v: read %q, want %q", c.addr, got, message)
	}
}

func (c *client) wantEnd() {
	c.tl.Helper()
	if n, err := c.conn.Read(make([]byte, maxPacket)); !errors.Is(err, io.EOF) {
		c.tl.Errorf("%v: read %d bytes, %v, want EOF", c.addr, n, err)
	}
}

// A client is the net.PacketConn of its conn.

func (c *client) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-c.inbox:
		return copy(b, p), net.UDPAddrFromAddrPort(server), nil
	case <-c.readable.Done():
		return 0, nil, context.DeadlineExceeded
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

func (c *client) WriteTo(p []byte, _ net.Addr) (int, error) {
	if c.lose == nil || !c.lose(p) {
		c.tl.receive(c.tl, c.addr, p)
	}
	return len(p), nil
}

func (c *client) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.addr) }

func (c *client) Close() error {
	c.close.Do(func() { close(c.closed) })
	return nil
}

func (c *client) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *client) SetReadDeadline(t time.Time) error {
	c.readable.Set(t)
	return nil
}

func (c *client) SetWriteDeadline(time.Time) error { return nil }

// aHello returns a hello as a client sends it first, with random in its first bytes.
func aHello(random string) []byte { return someHello(random, 0, 0, nil) }

// extensions are supported_groups, x25519, and extended_master_secret: what the handshake goes on with.
var extensions = []byte{0, 10, 0, 4, 0, 2, 0, 29, 0, 23, 0, 0}

func someHello(random string, sequence uint64, messageSeq uint16, cookie []byte) []byte {
	return helloWith(extensions, random, sequence, messageSeq, cookie)
}

func helloWith(extensions []byte, random string, sequence uint64, messageSeq uint16, cookie []byte) []byte {
	fixed := make([]byte, randomLen)
	copy(fixed, random)
	var b cryptobyte.Builder
	b.AddUint8(typeHandshake)
	b.AddUint16(0xfefd)
	b.AddUint64(sequence) // with the epoch
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		var body cryptobyte.Builder
		body.AddUint16(0xfefd)
		body.AddBytes(fixed)
		body.AddUint8(0)
		body.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(cookie) })
		body.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint16(0xc02b) })
		body.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(0) })
		body.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddBytes(extensions)
		})
		message := body.BytesOrPanic()
		b.AddUint8(messageClientHello)
		b.AddUint24(uint32(len(message)))
		b.AddUint16(messageSeq)
		b.AddUint24(0)
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(message) })
	})
	return b.BytesOrPanic()
}

// proven returns the hello that a client at address sends second, with the cookie that it was given.
func (tl *testListener) proven(address, random string) []byte {
	tl.Helper()
	return tl.provenWith(extensions, address, random)
}

func (tl *testListener) provenWith(extensions []byte, address, random string) []byte {
	tl.Helper()
	first := aHello(random)
	h, ok := parseHello(first)
	if !ok {
		tl.Fatalf("%x is no hello", first)
	}
	d := tl.cookies.desk()
	defer tl.cookies.giveBack(d)
	cookie := d.cookie(tuple{server, netip.MustParseAddrPort(address)}, &h, period(time.Now()))
	return helloWith(extensions, random, 1, 1, cookie[:])
}
