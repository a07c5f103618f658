package stream

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/listen"
)

// TestPendingIsFull: while all are young a newcomer is refused, later the oldest makes room for it. Those with an
// allocation are neither counted nor closed.
func TestPendingIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, func(a *Acceptor) { a.Pending = limit.NewPending(&limit.PendingOptions{Max: 2}) })
		_, kept := ta.connect()
		kept.Keep(true)
		_, first := ta.connect()
		ta.connect()
		wantClosed(t, ta.dial("192.0.2.2:1"), 0)
		ta.wantRefused(TooMany, 1)
		time.Sleep(5 * time.Second)
		ta.dial("192.0.2.2:1")
		<-ta.conns
		first.wantEnd(t, TooMany, nil)
		ta.wantRefused(TooMany, 2)
		ta.wantOpen(3)
		if got := ta.Pending.Len(); got != 2 {
			t.Errorf("%d slots are held, want 2", got)
		}
	})
}

// TestCrowdPushesOutItsOwn: addresses that open as many connections as they can, and go on, keep nobody from an
// allocation.
func TestCrowdPushesOutItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, func(a *Acceptor) { a.Pending = NewPending(256, limit.NewKnown()) })
		attack := func() {
			for i := range 1000 {
				nc := ta.dial(fmt.Sprintf("[2001:db8:%x::1]:1", i%64))
				select {
				case <-ta.conns:
				case err := <-closed(nc):
					if err != io.EOF {
						t.Errorf("read: %v", err)
					}
				}
			}
		}
		_, early := ta.connect()
		early.Keep(true)
		attack()
		nc := ta.dial("198.51.100.1:1")
		newcomer := <-ta.conns
		attack()
		write(t, nc, stunMessage(8))
		if got := <-newcomer.got; got != stunMessage(8) {
			t.Errorf("got %q", got)
		}
		newcomer.Keep(true)
		attack()
		ta.connect() // from where there is an allocation
		for _, c := range []*served{early, newcomer} {
			select {
			case err := <-c.ended:
				t.Errorf("one with an allocation has ended: %v", err)
			default:
			}
		}
		if got := ta.Pending.Len(); got > 256 {
			t.Errorf("%d slots are held, want 256 at most", got)
		}
	})
}

// closed gets the error with which a connection ends.
func closed(nc net.Conn) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, nc)
		ended <- cmp.Or(err, io.EOF)
	}()
	return ended
}

// TestPendingPerAddress: a slot at an address is free again when there is an allocation, or the connection ends.
func TestPendingPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, pendingPer(2))
		refused := uint64(0)
		want := func(from string, room bool) (net.Conn, *served) {
			t.Helper()
			nc := ta.dial(from)
			if room {
				return nc, <-ta.conns
			}
			wantClosed(t, nc, 0)
			refused++
			ta.wantRefused(TooManyFromAddress, refused)
			return nil, nil
		}
		nc, _ := want("[2001:db8:0:1::1]:1", true)
		_, c := want("[2001:db8:0:2::1]:1", true)
		want("[2001:db8:0:ff::1]:1", false) // the same /56
		want("[2001:db8:0:100::1]:1", true)
		want("192.0.2.1:1", true)
		want("[::ffff:192.0.2.1]:1", true)
		want("192.0.2.1:2", false)

		nc.Close()
		synctest.Wait()
		want("[2001:db8::1]:1", true)
		want("[2001:db8::1]:1", false)
		c.Keep(true)
		c.Keep(true)
		_, next := want("[2001:db8::1]:1", true)
		want("[2001:db8::1]:1", false)
		c.Keep(false) // not refused: the oldest makes room
		refused++
		ta.wantRefused(TooManyFromAddress, refused)
		want("[2001:db8::1]:1", false)
		next.Keep(true)
		want("[2001:db8::1]:1", true)
		c.Close()
		<-c.ended
		synctest.Wait()
		c.Keep(true)
		c.Keep(false)
		want("[2001:db8::1]:1", true)
	})
}

// TestConnsPerAddress: connections that end at once have a rate, before a handshake costs anything.
func TestConnsPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, func(a *Acceptor) {
			pendingPer(1)(a)
			a.ConnsPerAddress = limit.Rate{PerSecond: 2, Burst: 3}
		})
		begun := func(from string, n int) (served int) {
			t.Helper()
			for range n {
				nc := ta.dial(from)
				synctest.Wait()
				select {
				case <-ta.conns:
					served++
				default:
					wantClosed(t, nc, 0)
				}
				nc.Close()
				synctest.Wait()
			}
			return served
		}
		for _, tt := range []struct {
			name, from string
			later      time.Duration
			n, want    int
		}{
			{"a burst", "[2001:db8:0:1::1]:1", 0, 5, 3},
			{"the same /56", "[2001:db8:0:2::1]:1", 0, 2, 0},
			{"another /56", "[2001:db8:0:100::1]:1", 0, 5, 3},
			{"later", "[2001:db8:0:1::1]:1", time.Second, 5, 2},
		} {
			time.Sleep(tt.later)
			if got := begun(tt.from, tt.n); got != tt.want {
				t.Errorf("%s: %d of %d connections are served, want %d", tt.name, got, tt.n, tt.want)
			}
		}
		ta.wantRefused(TooFastFromAddress, 2+2+2+3)

		open, _ := ta.dial("192.0.2.1:1"), <-ta.conns
		for range 10 {
			wantClosed(t, ta.dial("192.0.2.1:2"), 0) // for another reason: nothing is taken
		}
		open.Close()
		synctest.Wait()
		if got := begun("192.0.2.1:3", 3); got != 2 {
			t.Errorf("beside refused ones %d connections are served, want the 2 that are left", got)
		}
	})
}

// TestCrowd: all clients of an office come back at once when the server was restarted. A proxy's are counted apart.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, func(a *Acceptor) { a.Proxies = proxies(t) })
		for range 1000 {
			_, c := ta.connect()
			c.Keep(true)
		}
		for i := range 1500 {
			nc := ta.dial(proxyAddr)
			write(t, nc, fmt.Sprintf("PROXY TCP4 198.51.100.%d 10.0.0.9 4711 443\r\n", i%2))
			(<-ta.conns).Keep(true)
		}
		wantClosed(t, ta.dial("192.0.2.1:1"), 0)
		ta.wantRefused(TooFastFromAddress, 1)
	})
}

// TestAcceptErrors: too few descriptors are waited out.
func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, nil)
		for range 10 {
			ta.listener.errors <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
		}
		begin := time.Now()
		ta.connect()
		if got, want := time.Since(begin), (5+10+20+40+80+160+320+640+1000+1000)*time.Millisecond; got != want {
			t.Errorf("10 errors were waited out in %v, want %v", got, want)
		}
		synctest.Wait()
		if got := strings.Count(ta.log.String(), "too many open files"); got != 10 {
			t.Errorf("%d lines are logged, want 10: %s", got, ta.log)
		}
	})
}

// TestCloseAll: Close ends connections in every state, and those that come later.
func TestCloseAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, func(a *Acceptor) {
			a.Proxies = proxies(t)
		})
		secret := ta.dial(proxyAddr) // no header yet
		_, writing := ta.connect()
		writing.Send(nil, make([]byte, 100))
		reading, idle := ta.connect()
		write(t, reading, stunMessage(4)[:10])
		_, kept := ta.connect()
		kept.Keep(true)
		ta.listener.errors <- syscall.EMFILE // Serve waits
		synctest.Wait()
		begin := time.Now()
		ta.Close()
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("Close took %v, want no time", waited)
		}
		wantClosed(t, secret, 0)
		for _, c := range []*served{writing, idle, kept} {
			c.wantEnd(t, "", net.ErrClosed)
		}
		wantClosed(t, ta.dial("192.0.2.1:1"), 0)
		ta.wantOpen(0)
		ta.wantRefused("", 0)
	})
}

// pendingPer bounds the connections of one address that have no allocation.
func pendingPer(address int) func(*Acceptor) {
	return func(a *Acceptor) { a.Pending = limit.NewPending(&limit.PendingOptions{PerAddress: address}) }
}

func TestHandleReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Acceptor{Handle: func(c *Conn) { c.ReadMessage() }}
		here, there := net.Pipe()
		var ended sync.WaitGroup
		ended.Go(func() { a.ServeConn(there) })
		write(t, here, stunMessage(0))
		wantClosed(t, here, 0)
		ended.Wait()
	})
}

func TestWithoutHandle(t *testing.T) {
	defer func() {
		if fault := fmt.Sprint(recover()); !strings.Contains(fault, "no Handle") {
			t.Errorf("Serve panics with %s, want why", fault)
		}
	}()
	new(Acceptor).Serve(newPipes())
}

const proxyAddr = "10.0.0.1:5"

// proxies trusts the address of proxyAddr alone.
func proxies(t testing.TB) *listen.Proxies {
	t.Helper()
	p, err := listen.NewProxies(&listen.ProxyOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}, PROXY: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPROXY(t *testing.T) {
	for _, tt := range []struct{ name, from, header, client string }{
		{"a proxy's client", proxyAddr, "PROXY TCP4 198.51.100.7 10.0.0.9 4711 443\r\n", "198.51.100.7:4711"},
		{"a proxy's client, IPv6", proxyAddr, "PROXY TCP6 2001:db8::7 2001:db8::9 4711 443\r\n", "[2001:db8::7]:4711"},
		{"a proxy for itself", proxyAddr, "PROXY UNKNOWN\r\n", proxyAddr},
		{"a client", "192.0.2.1:1000", "", "192.0.2.1:1000"},
		{"a client at IPv4 mapped to IPv6", "[::ffff:192.0.2.1]:1000", "", "192.0.2.1:1000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ta := newTestAcceptor(t, func(a *Acceptor) { a.Proxies = proxies(t) })
				nc := ta.dial(tt.from)
				write(t, nc, tt.header+stunMessage(8)+stunMessage(4)[:5])
				write(t, nc, stunMessage(4)[5:])
				c := <-ta.conns
				if got := c.Client().String(); got != tt.client {
					t.Errorf("Client = %s, want %s", got, tt.client)
				}
				if got, want := c.Local().String(), "192.0.2.250:3478"; got != want {
					t.Errorf("Local = %s, want %s", got, want)
				}
				if first, second := <-c.got, <-c.got; first != stunMessage(8) || second != stunMessage(4) {
					t.Errorf("got %q and %q, want what came behind the header", first, second)
				}
			})
		})
	}
}

// TestProxyFaults: they are on record, except for those who only look whether somebody listens.
func TestProxyFaults(t *testing.T) {
	for _, tt := range []struct{ name, from, header, logged string }{
		{"no header", proxyAddr, stunMessage(0), "does not begin with a PROXY header"},
		{"half a header", proxyAddr, "PROXY TCP4", "ended after 10 bytes"},
		{"a health check", proxyAddr, "", ""},
		{"a client's header", "192.0.2.1:1000", "PROXY TCP4 198.51.100.7 10.0.0.9 4711 443\r\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ta := newTestAcceptor(t, func(a *Acceptor) { a.Proxies = proxies(t) })
				nc := ta.dial(tt.from)
				if _, err := io.WriteString(nc, tt.header); err != nil && !errors.Is(err, io.ErrClosedPipe) {
					t.Fatal(err)
				}
				nc.Close()
				ta.wantOpen(0)
				if tt.logged == "" && ta.log.Len() != 0 || !strings.Contains(ta.log.String(), tt.logged) {
					t.Errorf("logged %q, want %q", ta.log, tt.logged)
				}
				if got, want := ta.Refused()[BadProxyHeader] == 1, tt.logged != ""; got != want {
					t.Errorf("the connection is refused for its header: %v, want %v", got, want)
				}
			})
		})
	}
}

// TestPROXYAddress: connections of a proxy count at its client's address, and at none if it tells none.
func TestPROXYAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, func(a *Acceptor) {
			a.Proxies = proxies(t)
			pendingPer(1)(a)
		})
		for range 3 {
			write(t, ta.dial(proxyAddr), "PROXY UNKNOWN\r\n")
			<-ta.conns
		}
		for i := range 3 {
			write(t, ta.dial(proxyAddr), fmt.Sprintf("PROXY TCP4 198.51.100.%d 10.0.0.9 4711 443\r\n", i))
			<-ta.conns
		}
		nc := ta.dial(proxyAddr)
		write(t, nc, "PROXY TCP4 198.51.100.1 10.0.0.9 4712 443\r\n")
		wantClosed(t, nc, 0)
		ta.wantRefused(TooManyFromAddress, 1)
	})
}
