package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// spinPacket is what a careless framer spins on for ever: its length and its header make 65536, 0 in 16 bits.
const spinPacket = "\x00\x01\xff\xec\x21\x12\xa4\x42" + "abcdefghijkl"

// stunMessage is one with attributes of n bytes.
func stunMessage(n int) string {
	b := make([]byte, stunHeader+n)
	binary.BigEndian.PutUint16(b, 0x0001)
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	binary.BigEndian.PutUint32(b[4:], magicCookie)
	return string(b)
}

// channelData is a message for channel 0x4000, without padding.
func channelData(data string) string {
	return string([]byte{0x40, 0, byte(len(data) >> 8), byte(len(data))}) + data
}

// padded is messages as they are on a stream.
func padded(messages ...string) string {
	var b strings.Builder
	for _, m := range messages {
		b.WriteString(m + strings.Repeat("\x00", pad(len(m))-len(m)))
	}
	return b.String()
}

// pipes is a listener for connections in memory.
type pipes struct {
	conns  chan net.Conn
	errors chan error
	once   sync.Once
	done   chan struct{}
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), errors: make(chan error, 100), done: make(chan struct{})}
}

// Accept returns what is in errors first.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case err := <-p.errors:
		return nil, err
	default:
	}
	select {
	case nc := <-p.conns:
		return nc, nil
	case err := <-p.errors:
		return nil, err
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return new(net.TCPAddr) }

// end is one end of a connection in memory, with addresses.
type end struct {
	net.Conn
	local, remote net.Addr
}

func (e *end) LocalAddr() net.Addr  { return e.local }
func (e *end) RemoteAddr() net.Addr { return e.remote }

func tcpAddr(addr string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)) }

// testAcceptor serves until the test ends. What it accepts comes out of conns.
type testAcceptor struct {
	*Acceptor
	t        testing.TB
	listener *pipes
	conns    chan *served
	log      *bytes.Buffer
}

// served is the server's end of a connection. Its messages, and then the error, are read by its goroutine.
type served struct {
	*Conn
	got   chan string
	ended chan error
}

func newTestAcceptor(t testing.TB, change func(*Acceptor)) *testAcceptor {
	t.Helper()
	ta := &testAcceptor{t: t, listener: newPipes(), conns: make(chan *served, 2000), log: new(bytes.Buffer)}
	ta.Acceptor = &Acceptor{Handle: ta.handle, Log: slog.New(slog.NewTextHandler(ta.log, nil))}
	if change != nil {
		change(ta.Acceptor)
	}
	ta.serve(ta.listener)
	return ta
}

func (ta *testAcceptor) serve(l net.Listener) {
	result := make(chan error, 1)
	go func() { result <- ta.Serve(l) }()
	ta.t.Cleanup(func() {
		l.Close()
		if err := <-result; err != net.ErrClosed {
			ta.t.Errorf("Serve = %v, want net.ErrClosed", err)
		}
		ta.Close()
		if n := ta.Open(); n != 0 || ta.pending.Len() != 0 {
			ta.t.Errorf("%d connections are open after Close, %d slots held", n, ta.pending.Len())
		}
	})
}

func (ta *testAcceptor) handle(c *Conn) {
	s := &served{c, make(chan string, 1000), make(chan error, 1)}
	ta.conns <- s
	for {
		m, err := c.ReadMessage()
		if err != nil {
			if _, again := c.ReadMessage(); again != err {
				ta.t.Errorf("after %v ReadMessage returns %v", err, again)
			}
			s.ended <- err
			return
		}
		s.got <- string(m)
	}
}

// dial connects from an address.
func (ta *testAcceptor) dial(from string) net.Conn {
	here, there := net.Pipe()
	ta.listener.conns <- &end{there, tcpAddr("192.0.2.250:3478"), tcpAddr(from)}
	ta.t.Cleanup(func() { here.Close() })
	return here
}

// connect dials and returns both ends.
func (ta *testAcceptor) connect() (net.Conn, *served) {
	nc := ta.dial("192.0.2.1:1000")
	return nc, <-ta.conns
}

// wantRefused checks, within synctest, what all that has ended has ended for.
func (ta *testAcceptor) wantRefused(reason Reason, want uint64) {
	ta.t.Helper()
	synctest.Wait()
	for r, got := range ta.Refused() {
		if r == reason && got != want || r != reason && got != 0 {
			ta.t.Errorf("%d connections are refused for %s, want %d for %s alone", got, r, want, reason)
		}
	}
}

func (ta *testAcceptor) wantOpen(want int) {
	ta.t.Helper()
	synctest.Wait()
	if got := ta.Open(); got != want {
		ta.t.Errorf("%d connections are open, want %d", got, want)
	}
}

// wantEnd checks why the connection ended: for a reason, or with an error that is it.
func (s *served) wantEnd(t testing.TB, reason Reason, is error) {
	t.Helper()
	err := <-s.ended
	if got, _ := reasonOf(err); got != reason || is != nil && !errors.Is(err, is) {
		t.Errorf("the connection ended with %v (%q), want %v (%q)", err, got, is, reason)
	}
}

func write(t testing.TB, nc net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(nc, text); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func wantRead(t testing.TB, nc net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(nc, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v, want %q", b[:n], err, want)
	}
}

// wantClosed checks that the other side has closed, and when.
func wantClosed(t testing.TB, nc net.Conn, after time.Duration) {
	t.Helper()
	begin := time.Now()
	if n, err := nc.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("read %d bytes, %v, want io.EOF", n, err)
	}
	if got := time.Since(begin); got != after {
		t.Errorf("closed after %v, want %v", got, after)
	}
}
