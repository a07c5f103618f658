package dtls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// nth returns a function that is true for the nth packet, from 0.
func nth(n int) func([]byte) bool {
	return func([]byte) bool {
		n--
		return n == -1
	}
}

// TestLoss loses each packet of a handshake once.
func TestLoss(t *testing.T) {
	for n := range 3 {
		t.Run(fmt.Sprint("of the server ", n), func(t *testing.T) {
			simulated(t, nil, func(tl *testListener) {
				tl.losing(nth(n))
				tl.dial("198.51.100.1:1000").wantEcho("hello")
			})
		})
		t.Run(fmt.Sprint("of the client ", n), func(t *testing.T) {
			simulated(t, nil, func(tl *testListener) {
				alice := tl.newClient("198.51.100.1:1000")
				alice.lose = nth(n)
				if err := alice.connect(); err != nil {
					t.Fatal(err)
				}
				alice.wantEcho("hello")
			})
		})
	}
}

// TestSequenceNumbers: the first record of a handshake has the number of the hello that asked for it, and none comes twice.
func TestSequenceNumbers(t *testing.T) {
	simulated(t, nil, func(tl *testListener) {
		alice := tl.newClient("198.51.100.1:1000")
		hello := tl.proven("198.51.100.1:1000", "alice")
		setSequence(hello, 7)
		tl.from("198.51.100.1:1000", hello)
		time.Sleep(tl.cfg.HandshakeTimeout)
		var got []uint64
		for len(alice.inbox) != 0 {
			for record, rest := cutRecord(<-alice.inbox); record != nil; record, rest = cutRecord(rest) {
				got = append(got, sequenceOf(record))
			}
		}
		if len(got) < 8 || got[0] != 7 {
			t.Errorf("sequence numbers %d, want two flights from 7", got)
		}
		for i, n := range got {
			if n != 7+uint64(i) {
				t.Errorf("sequence numbers %d, want one after the other", got)
				break
			}
		}
	})
}

// TestReload: each handshake has the certificate of its time.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newCertificate(t), newCertificate(t)
		var current *tls.Certificate
		fault := error(nil)
		current = first
		tl := newTestListener(t, &Config{Certificate: func() (*tls.Certificate, error) { return current, fault }})
		alice := tl.dial("198.51.100.1:1000")
		current = second
		bob := tl.dial("198.51.100.2:1000")
		for name, c := range map[*client]*tls.Certificate{alice: first, bob: second} {
			state, _ := name.conn.ConnectionState()
			if got := state.PeerCertificates[0]; !slices.Equal(got, c.Certificate[0]) {
				t.Errorf("%v got another certificate than that of its time", name.addr)
			}
			name.wantEcho("hello")
		}

		fault = errors.New("the file is gone")
		tl.from("198.51.100.3:1000", tl.proven("198.51.100.3:1000", "carol"))
		synctest.Wait()
		tl.wantRefused(map[Reason]uint64{NoCertificate: 1})
		tl.wantStats(2, 0)
	})
}

// TestRefusedClient: a client that supports nothing that we do is told, and forgotten.
func TestRefusedClient(t *testing.T) {
	const address = "198.51.100.1:1000"
	simulated(t, nil, func(tl *testListener) {
		alice := tl.newClient(address)
		old := tl.proven(address, "alice")
		h, _ := parseHello(old)
		h.begin[1] = 0xff // DTLS 1.0
		d := tl.cookies.desk()
		cookie := d.cookie(tuple{server, alice.addr}, &h, period(time.Now()))
		copy(h.cookie, cookie[:])
		tl.from(address, old)
		synctest.Wait()
		tl.wantNothing()
		tl.wantRefused(map[Reason]uint64{HandshakeFailed: 1})
		const protocolVersion = 70
		if p := <-alice.inbox; p[0] != typeAlert || sequenceOf(p) != 1 || p[recordHeader+1] != protocolVersion {
			t.Errorf("the client was sent %x, want the alert protocol_version, with its hello's sequence number", p)
		}
	})
}

// TestSetupBound: a client cannot make the library keep fragments of messages that it never completes.
func TestSetupBound(t *testing.T) {
	s := newSession(t.Context(), nil, tuple{}, &hello{begin: make([]byte, 2+randomLen), sequence: 1}, aHello(""))
	fragment := record(typeHandshake, 0, make([]byte, 1000)...)
	passed := 0
	for range 100 {
		passed += len(s.filter(slices.Clone(fragment)))
	}
	if passed > maxSetup || passed < maxSetup/2 {
		t.Errorf("%d bytes of handshake messages passed, want %d at most", passed, maxSetup)
	}
	s.established.Store(true)
	if n := len(s.filter(record(typeHandshake, 1, make([]byte, 1000)...))); n != 0 {
		t.Error("messages passed after the handshake, beyond the bound")
	}
	if n := len(s.filter(record(typeApplicationData, 1, make([]byte, 1000)...))); n == 0 {
		t.Error("data did not pass after the handshake")
	}
}

// TestFullQueue: a session that does not keep up loses packets, and no others do.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		tl := newTestListener(t, &Config{Handle: func(c net.Conn) {
			if c.RemoteAddr().String() == "198.51.100.1:1000" {
				<-hold
			}
			echo(c)
		}})
		slow, quick := tl.dial("198.51.100.1:1000"), tl.dial("198.51.100.2:1000")
		for i := range 2 * maxQueued {
			slow.write(fmt.Sprint(i))
			quick.wantEcho(fmt.Sprint(i))
		}
		dropped := tl.Stats().Dropped
		if dropped < maxQueued/2 || dropped > maxQueued {
			t.Errorf("%d packets were dropped, want about %d", dropped, maxQueued)
		}
		tl.from("198.51.100.2:1000", make([]byte, maxPacket+1))
		if got := tl.Stats().Dropped; got != dropped+1 {
			t.Errorf("%d packets were dropped with one that is too long, want %d", got, dropped+1)
		}
		close(hold)
		for i := range 2*maxQueued - int(dropped) {
			if got := slow.read(); got != fmt.Sprint(i) {
				t.Fatalf("message %d came back as %q", i, got)
			}
		}
		slow.wantEcho("hello")
	})
}

// TestDeadlines: a session's reads end at their deadline, as those of any net.Conn.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		tl := newTestListener(t, &Config{Handle: func(c net.Conn) {
			if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Error(err)
			}
			_, err := c.Read(make([]byte, maxPacket))
			ended <- err
		}})
		alice := tl.dial("198.51.100.1:1000")
		began := time.Now()
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began).Round(time.Second) != time.Minute {
			t.Errorf("Read ended after %v: %v, want %v after a minute", time.Since(began), err, os.ErrDeadlineExceeded)
		}
		alice.wantEnd()
		synctest.Wait()
		tl.wantNothing()
	})
}

func TestLongMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		result := make(chan error, 1)
		tl := newTestListener(t, &Config{Handle: func(c net.Conn) {
			_, err := c.Write(make([]byte, maxMessage+1))
			result <- err
			echo(c)
		}})
		alice := tl.dial("198.51.100.1:1000")
		if <-result == nil {
			t.Error("a message that fits no record was sent")
		}
		alice.wantEcho("hello")
	})
}

// TestClose: clients are told, handshakes under way end, Close waits for every Handle, nothing begins afterwards.
func TestClose(t *testing.T) {
	const other = "198.51.100.2:1000"
	synctest.Test(t, func(t *testing.T) {
		handled := make(chan struct{}, 1)
		tl := newTestListener(t, &Config{Handle: func(c net.Conn) {
			echo(c)
			time.Sleep(time.Minute) // what Handle still has to do
			handled <- struct{}{}
		}})
		alice := tl.dial("198.51.100.1:1000")
		tl.from(other, tl.proven(other, "half-open"))
		tl.wantStats(1, 1)
		tl.Close()
		select {
		case <-handled:
		default:
			t.Error("Close returned before Handle")
		}
		alice.wantEnd()
		tl.wantNothing()

		tl.from(other, tl.proven(other, "too late"))
		tl.wantNothing()
		tl.wantRefused(map[Reason]uint64{Closing: 2})
		tl.Close()
	})
}

func TestNew(t *testing.T) {
	good := newCertificate(t)
	for _, c := range []struct {
		cfg  *Config
		want string
	}{
		{nil, "must be set"},
		{&Config{Certificate: fixed(good)}, "must be set"},
		{&Config{Handle: echo}, "must be set"},
		{&Config{Handle: echo, Certificate: fixed(nil)}, "none, or without its key"},
		{&Config{Handle: echo, Certificate: fixed(&tls.Certificate{Certificate: good.Certificate})}, "none, or without its key"},
		{&Config{Handle: echo, Certificate: fixed(&tls.Certificate{Certificate: good.Certificate, PrivateKey: 1})}, "invalid private key"},
		{&Config{Handle: echo, Certificate: func() (*tls.Certificate, error) { return nil, os.ErrNotExist }}, "file does not exist"},
	} {
		if _, err := New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New: %v, want an error with %q", err, c.want)
		}
	}
}
