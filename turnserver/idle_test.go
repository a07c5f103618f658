package turnserver

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/sigctl/sigctl/turnserver/internal/stream"
)

// newHastyServer serves all transports. It waits no longer than login for an allocation, and than frame for the rest of a
// message.
func newHastyServer(t *testing.T, login, frame time.Duration) *testServer {
	t.Helper()
	ts := newIdleServer(t, withTLS(t, func(cfg *Config) { everywhere(cfg); cfg.Allow = allow(t, "127.0.0.2/32") }))
	for _, l := range ts.listeners {
		if l.streams != nil {
			l.streams.Limits = stream.Limits{LoginTimeout: login, FrameTimeout: frame}
		}
	}
	served := make(chan error, 1)
	go func() { served <- ts.Serve(t.Context()) }()
	t.Cleanup(func() {
		ts.Close()
		if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return ts
}

// Time-outs that tests wait for.
const (
	loginHaste = 5 * time.Second // leaves a loaded machine the time for a handshake
	frameHaste = 2 * time.Second // what comes at once has come by then
)

// unsecured returns a connection to where a transport is served, from an address of this machine, without a handshake.
func (ts *testServer) unsecured(transport Transport, ip string) net.Conn {
	ts.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	conn, err := dialer.Dial("tcp", ts.Addrs(transport)[0].String())
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { conn.Close() })
	return conn
}

// wantClosed checks that the server closes a connection, over which nothing comes but what TLS has to say. While it waits
// it sends drip, bit by bit.
func wantClosed(t *testing.T, name string, conn net.Conn, drip string) {
	t.Helper()
	buffer := make([]byte, 1000)
	for began := time.Now(); time.Since(began) < patience; {
		conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := conn.Read(buffer)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return // io.EOF or a reset, when there is something that was not read
		}
		if len(drip) > 0 {
			io.WriteString(conn, drip[:1])
			drip = drip[1:]
		}
	}
	t.Errorf("%s: the connection is still open", name)
}

// Connections on which nothing comes are gone after their deadline, with all that they took; calls go on.
func TestIdleConnections(t *testing.T) {
	ts, p := newHastyServer(t, loginHaste, patience), newPeer(t, "127.0.0.2")
	bob := ts.calling(TCP, "bob", p)
	before := holding()
	const plain, secure, perAddress = 1000, 200, 50
	var conns []net.Conn
	for i := range plain + secure {
		transport := TCP
		if i >= plain {
			transport = TLS
		}
		conns = append(conns, ts.unsecured(transport, fmt.Sprintf("127.4.0.%d", 1+i/perAddress)))
	}
	for i, conn := range conns {
		wantClosed(t, fmt.Sprint("connection ", i), conn, "")
		conn.Close()
	}
	wantHeld(t, before.andSlack())
	stats := ts.Stats()
	if got := stats.Sum(); got.Connections != 1 || got.Refused["no_allocation"] != plain+secure {
		t.Errorf("%d connections are open, %v were refused, want bob's, and all others for want of an allocation", got.Connections, got.Refused)
	}
	bob.exchange(p, "still here")
}

// Who sends slowly, or nonsense, is closed, for the reason that the count says.
func TestSlowAndSenselessConnections(t *testing.T) {
	long := stun.NewSoftware(strings.Repeat("x", 400)) // sent bit by bit it takes far longer than a time-out
	request := string(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), requestedUDP, long).Raw)
	for _, tt := range []struct {
		name, first, drip string
		allocated         bool
		reason            string
	}{
		{"slow login", "", request, false, "no_allocation"},
		{"slow request", "", request, true, "slow_message"},
		{"half a request", request[:20], "", true, "slow_message"},
		{"slow data", "\x40\x00\xff\xff", strings.Repeat("and so on", 50), true, "slow_message"},
		{"garbage", "\xff\xff\xff\xff", "", false, "bad_message"},
		{"HTTP", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", "", false, "bad_message"},
		{"another cookie", "\x00\x01\x00\x00abcdefghijklmnop", "", false, "bad_message"},
		{"garbage of a client", "\xff\xff\xff\xff", "", true, "bad_message"},
		{"data before login", "\x40\x00\xff\xff", "", false, "bad_message"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, transport := range []Transport{TCP, TLS} {
				login, frame := patience, frameHaste
				if tt.reason == "no_allocation" {
					login, frame = loginHaste, patience
				}
				ts := newHastyServer(t, login, frame)
				c := ts.over(transport, "mallory")
				if tt.allocated {
					c.allocate()
				}
				io.WriteString(c.conn, tt.first)
				wantClosed(t, transport.String(), c.conn, tt.drip)
				ts.Close() // waits until it is counted
				stats := ts.Stats()
				if got := stats.Sum(); got.Refused[tt.reason] != 1 || got.Connections != 0 || stats.Allocations != 0 {
					t.Errorf("%v: %v, %d connections, %d allocations, want one of %s, and none open",
						transport, got.Refused, got.Connections, stats.Allocations, tt.reason)
				}
			}
		})
	}
}

// Who only has requests refused is not served for as long as the time-out lets it.
func TestRefusedAgainAndAgain(t *testing.T) {
	ts := newTestServer(t, nil)
	c := ts.over(TCP, "mallory")
	ask := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), requestedUDP)
	for range 2 * maxRefused {
		if _, err := c.conn.Write(ask.Raw); err != nil {
			break // it is over
		}
	}
	c.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, c.conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection goes on after %d refused requests", 2*maxRefused)
	}
	if got := ts.total().Errors[401]; got != maxRefused+1 {
		t.Errorf("%d requests were refused, want %d and then the end", got, maxRefused+1)
	}
}
