package stream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// patience ends a test that waits for what never comes. No test passes by waiting for it.
const patience = 2 * time.Minute

// serverTLS is a configuration with a certificate of its own.
func serverTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// clientTLS trusts everybody: who the server is, is not what is tested.
func clientTLS() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// listenTCP serves real sockets until the test ends.
func (ta *testAcceptor) listenTCP() string {
	ta.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		ta.t.Fatal(err)
	}
	ta.serve(l)
	return l.Addr().String()
}

func dialTCP(t testing.TB, addr string, config *tls.Config) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	if config != nil {
		return tls.Client(nc, config)
	}
	return nc
}

// echo serves a client that takes all.
func echo(c *Conn) {
	c.Keep(true)
	for m, err := c.ReadMessage(); err == nil; m, err = c.ReadMessage() {
		for !c.Send(m[:4], m[4:]) {
			runtime.Gosched()
		}
	}
}

// TestSockets exchanges messages over real sockets, in both directions at once.
func TestSockets(t *testing.T) {
	for name, config := range map[string]*tls.Config{"TCP": nil, "TLS": serverTLS(t)} {
		t.Run(name, func(t *testing.T) {
			ta := newTestAcceptor(t, func(a *Acceptor) { a.TLS, a.Handle = config, echo })
			addr := ta.listenTCP()
			var client *tls.Config
			if config != nil {
				client = clientTLS()
			}
			nc := dialTCP(t, addr, client)
			var text strings.Builder
			for i := range 2000 {
				text.WriteString(padded(channelData(strings.Repeat("x", i)), stunMessage(4*(i%300))))
			}
			written := make(chan error, 1)
			go func() {
				_, err := io.WriteString(nc, text.String())
				written <- err
			}()
			got := make([]byte, text.Len())
			if n, err := io.ReadFull(nc, got); err != nil || string(got) != text.String() {
				t.Errorf("%d bytes came back of %d, %v; the same: %v", n, len(got), err, string(got) == text.String())
			}
			if err := <-written; err != nil {
				t.Errorf("write: %v", err)
			}
			nc.Close()
		})
	}
}

// TestPlainTextToTLS: who speaks no TLS, or says nothing, is closed.
func TestPlainTextToTLS(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		reason     Reason
		after      time.Duration
	}{
		{"STUN", stunMessage(0), BadHandshake, 0},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", BadHandshake, 0},
		{"nothing", "", NoAllocation, DefaultLoginTimeout},
		{"half a record", "\x16\x03\x01\x02\x00\x01", NoAllocation, DefaultLoginTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ta := newTestAcceptor(t, func(a *Acceptor) { a.TLS = serverTLS(t) })
				nc := ta.dial("192.0.2.1:1000")
				go io.WriteString(nc, tt.text)
				begin := time.Now()
				io.Copy(io.Discard, nc) // an alert
				if got := time.Since(begin); got != tt.after {
					t.Errorf("closed after %v, want %v", got, tt.after)
				}
				ta.wantOpen(0)
				ta.wantRefused(tt.reason, 1)
			})
		})
	}
}

// TestTLSFarewell: a TLS client is told of the end, even if it does not read; it can not make Close wait.
func TestTLSFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, func(a *Acceptor) { a.TLS = serverTLS(t) })
		nc := tls.Client(ta.dial("192.0.2.1:1000"), clientTLS())
		write(t, nc, "\xff\xff\xff\xff")
		if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read: %v, want io.EOF: the server says that it closes", err)
		}
		deaf := tls.Client(ta.dial("192.0.2.1:1000"), clientTLS())
		if err := deaf.HandshakeContext(context.Background()); err != nil {
			t.Fatal(err)
		}
		<-ta.conns
		c := <-ta.conns
		c.Send(nil, make([]byte, 1000))
		synctest.Wait()
		begin := time.Now()
		c.Close()
		ta.Close()
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("Close took %v, want no time", waited)
		}
	})
}

// farewell is how long crypto/tls waits for a client to take that the connection ends.
const farewell = 5 * time.Second

// TestDeafTLSClient: one that reads nothing delays its own end, not that of the server.
func TestDeafTLSClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, func(a *Acceptor) { a.TLS = serverTLS(t) })
		deaf := func() {
			nc := tls.Client(ta.dial("192.0.2.1:1000"), clientTLS())
			if err := nc.HandshakeContext(context.Background()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(DefaultLoginTimeout)
			ta.wantOpen(1) // it is being told
		}
		deaf()
		time.Sleep(farewell)
		ta.wantOpen(0)
		deaf()
		begin := time.Now()
		ta.Close()
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("Close took %v, want no time", waited)
		}
	})
}

// TestServeConn serves what another listener has accepted and shaken hands with.
func TestServeConn(t *testing.T) {
	config := serverTLS(t)
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, nil)
		here, there := net.Pipe()
		served := make(chan struct{})
		go func() {
			ta.ServeConn(tls.Server(&end{there, tcpAddr("192.0.2.250:443"), tcpAddr("192.0.2.9:9")}, config))
			close(served)
		}()
		nc := tls.Client(here, clientTLS())
		write(t, nc, stunMessage(4))
		c := <-ta.conns
		if got := <-c.got; got != stunMessage(4) {
			t.Errorf("got %q", got)
		}
		if got, want := c.Client().String()+" "+c.Local().String(), "192.0.2.9:9 192.0.2.250:443"; got != want {
			t.Errorf("Client and Local = %s, want %s", got, want)
		}
		nc.Close()
		<-served
		c.wantEnd(t, "", io.EOF)
	})
}

// descriptors counts those of this process.
func descriptors(t testing.TB) int {
	entries, err := os.ReadDir("/dev/fd")
	if errors.Is(err, os.ErrNotExist) { // Windows
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// goroutines counts those of the package, with those of TLS handshakes.
func goroutines() (n int) {
	stacks := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(stack, "stream.(*Acceptor).") || strings.Contains(stack, "stream.(*outbox).") ||
			strings.Contains(stack, "tls.(*Conn).handshakeContext") {
			n++
		}
	}
	return n
}

// wantGoroutines checks how many there are, when those that have nothing left to do have ended.
func wantGoroutines(t testing.TB, want int) {
	t.Helper()
	for begin := time.Now(); goroutines() != want; time.Sleep(time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("there are %d goroutines, want %d", goroutines(), want)
		}
	}
}

// TestNothingLeft: an idle connection has one goroutine, and one that has ended has nothing.
func TestNothingLeft(t *testing.T) {
	const n, accepting = 50, 2 // goroutines; those that accept are the listeners'
	ta := newTestAcceptor(t, func(a *Acceptor) { a.TLS = serverTLS(t) })
	addr := ta.listenTCP()
	wantGoroutines(t, accepting)
	fds := descriptors(t)
	var clients []net.Conn
	var ended []*served
	for range n {
		nc := dialTCP(t, addr, clientTLS())
		write(t, nc, stunMessage(0))
		c := <-ta.conns
		c.Keep(true)
		<-c.got
		c.Send(nil, []byte(stunMessage(4)))
		wantRead(t, nc, stunMessage(4))
		c.out.writer.Wait()
		clients, ended = append(clients, nc), append(ended, c)
	}
	wantGoroutines(t, accepting+n)
	for i, nc := range clients {
		if i%2 == 0 {
			nc.Close()
		} else {
			ended[i].Close()
			nc.Close()
		}
	}
	ta.Close()
	wantGoroutines(t, accepting)
	if got := descriptors(t); got > fds {
		t.Errorf("%d descriptors are left, want %d at most", got, fds)
	}
}

// TestRecords: with TLS each message comes in a record of its own, those that fit none in several.
func TestRecords(t *testing.T) {
	config := serverTLS(t)
	config.DynamicRecordSizingDisabled = true
	messages := []string{"a", strings.Repeat("b", 1400), "c", strings.Repeat("d", 40_000), "e"}
	ta := newTestAcceptor(t, func(a *Acceptor) {
		a.TLS, a.Handle = config, func(c *Conn) {
			c.Keep(true)
			c.out.mu.Lock() // all wait before the first is written
			for _, m := range messages {
				if !c.out.queueLocked(nil, []byte(padded(channelData(m))), nil) {
					t.Errorf("%d bytes are not queued", len(m))
				}
			}
			c.out.mu.Unlock()
			c.Send([]byte(stunMessage(20)), nil)
			c.ReadMessage()
		}
	})
	nc := dialTCP(t, ta.listenTCP(), clientTLS())
	buffer := make([]byte, 1<<16)
	for _, m := range messages {
		want := padded(channelData(m))
		for len(want) > 0 {
			n, err := nc.Read(buffer) // never beyond the end of a record
			if err != nil || n != min(len(want), maxRecord) || string(buffer[:n]) != want[:n] {
				t.Fatalf("read %d bytes, %v, want %d", n, err, min(len(want), maxRecord))
			}
			want = want[n:]
		}
	}
	nc.Close()
}
