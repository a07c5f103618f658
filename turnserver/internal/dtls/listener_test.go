package dtls

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		addresses := make(chan string, 1)
		tl := newTestListener(t, &Config{Handle: func(c net.Conn) {
			addresses <- fmt.Sprintf("%v %v %T %T", c.LocalAddr(), c.RemoteAddr(), c.LocalAddr(), c.RemoteAddr())
			echo(c)
		}})
		alice := tl.dial("198.51.100.1:1000")
		const want = "192.0.2.1:5349 198.51.100.1:1000 *net.UDPAddr *net.UDPAddr"
		if got := <-addresses; got != want {
			t.Errorf("addresses of the session: %s, want %s", got, want)
		}
		alice.wantEcho("hello")
		alice.wantEcho(string(bytes.Repeat([]byte{'x'}, 4000)))
		tl.wantStats(1, 0)
		alice.conn.Close()
		synctest.Wait()
		tl.wantNothing()
		tl.wantRefused(nil)
		if s := tl.Stats(); s.Asked != 1 || s.Established != 1 {
			t.Errorf("%d hellos were answered and %d sessions established, want one each", s.Asked, s.Established)
		}
	})
}

// TestFlood: forged hellos take nothing, and are answered with less than they are, while clients come and stay.
func TestFlood(t *testing.T) {
	simulated(t, nil, func(tl *testListener) {
		const hellos = 20_000
		alice := tl.dial("198.51.100.1:1000")
		size := 0
		for i := range hellos {
			hello := aHello(fmt.Sprint(i))
			size += len(hello)
			tl.from(fmt.Sprintf("10.%d.%d.%d:%d", i%7, i/250%250, i%250, 1024+i), hello)
			switch {
			case i == hellos/2:
				tl.dial("198.51.100.2:1000").wantEcho("let me in")
			case i%1000 == 0:
				alice.wantEcho(fmt.Sprint("still here", i))
			}
		}
		tl.wantStats(2, 0)
		time.Sleep(time.Minute) // nothing is sent again
		if packets, bytes := tl.sent(); packets != hellos || bytes >= size {
			t.Errorf("%d answers, %d bytes, to %d hellos of %d bytes", packets, bytes, hellos, size)
		}
		if n := len(tl.peers); n != 2 {
			t.Errorf("%d peers are kept, want the two clients", n)
		}
	})
}
