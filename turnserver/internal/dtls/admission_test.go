package dtls

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
)

var unlimited = limit.Rate{PerSecond: 1e9, Burst: 1e9}

// TestProvenFlood: clients that have real addresses, and no intention to go on, share out among each other what Config
// allows, until their time is over. Neither an established session nor a client that begins meanwhile notices.
func TestProvenFlood(t *testing.T) {
	simulated(t, &Config{Handshakes: unlimited, HandshakesPerNetwork: unlimited}, func(tl *testListener) {
		alice := tl.dial("198.51.100.1:1000")
		const networks, each = 150, 20
		flood := func(random string) {
			for i := range networks * each {
				address := fmt.Sprintf("10.%d.%d.%d:1000", i/each/250, i/each%250, i%each)
				tl.from(address, tl.proven(address, fmt.Sprint(random, i)))
			}
			synctest.Wait()
		}
		flood("first")
		tl.wantStats(1, 1024)
		holds := map[netip.Prefix]int{}
		for at := range tl.peers {
			holds[networkOf(at.remote.Addr())]++
		}
		for network, n := range holds {
			if n > 8 {
				t.Errorf("%v has %d handshakes under way, want 8 at most: 1024 for 150 networks", network, n)
			}
		}
		full := tl.Stats().Refused
		if n := full[NetworkHalfOpen] + full[HalfOpen]; n != networks*each-1024 {
			t.Errorf("%d were refused or stopped, want all but 1024: %v", n, full)
		}

		bob := tl.newClient("203.0.113.1:1000") // in the middle of it
		hellos := 0
		bob.lose = func([]byte) bool {
			if hellos++; hellos < 4 {
				flood(fmt.Sprint("again", hellos))
			}
			return false
		}
		if err := bob.connect(); err != nil {
			t.Fatal(err)
		}
		bob.wantEcho("hello")
		alice.wantEcho("still here")

		time.Sleep(tl.cfg.HandshakeTimeout)
		synctest.Wait()
		tl.wantStats(2, 0)
		if got := tl.Stats().Refused[TimedOut]; got != 1023 {
			t.Errorf("%d handshakes timed out, want 1023", got)
		}
		alice.wantEcho("still here")
		alice.conn.Close()
		bob.conn.Close()
		synctest.Wait()
		tl.wantNothing()
	})
}

// TestRates: how many handshakes may begin, and that a client that was refused gets in later by itself.
func TestRates(t *testing.T) {
	rates := &Config{Handshakes: limit.Rate{PerSecond: 10, Burst: 30}, HandshakesPerNetwork: limit.Rate{PerSecond: 5, Burst: 10}}
	simulated(t, rates, func(tl *testListener) {
		for i := range 60 {
			address := fmt.Sprintf("10.0.%d.1:%d", i/15, i+1)
			tl.from(address, tl.proven(address, fmt.Sprint(i)))
		}
		tl.wantStats(0, 30)
		tl.wantRefused(map[Reason]uint64{NetworkRate: 4 * 5, Rate: 10})
		began := time.Now()
		tl.dial("10.9.9.9:1000").wantEcho("at last")
		if waited := time.Since(began); waited > 2*time.Second {
			t.Errorf("a client got in after %v, want its second try after 1 s", waited)
		}
	})
}

func TestSessionBounds(t *testing.T) {
	simulated(t, &Config{MaxSessions: 3, MaxSessionsPerAddress: 2}, func(tl *testListener) {
		alice := tl.dial("10.0.0.1:1")
		tl.dial("10.0.0.1:2")
		tl.from("10.0.0.1:3", tl.proven("10.0.0.1:3", "third of one address"))
		tl.wantRefused(map[Reason]uint64{AddressSessions: 1})
		tl.dial("10.0.0.2:1")
		tl.from("10.0.0.3:1", tl.proven("10.0.0.3:1", "fourth in all"))
		tl.wantRefused(map[Reason]uint64{AddressSessions: 1, Sessions: 1})
		tl.wantStats(3, 0)

		alice.conn.Close()
		synctest.Wait()
		tl.dial("10.0.0.1:3").wantEcho("there is room")
	})
}

func TestNetworkOf(t *testing.T) {
	for _, c := range []struct{ addr, want string }{
		{"192.0.2.77", "192.0.2.0/24"},
		{"::ffff:192.0.2.77", "192.0.2.0/24"},
		{"2001:db8:1:23ff::1", "2001:db8:1:2300::/56"},
		{"fe80::1%eth0", "fe80::/56"},
	} {
		if got := networkOf(netip.MustParseAddr(c.addr)); got.String() != c.want {
			t.Errorf("networkOf(%s) = %v, want %s", c.addr, got, c.want)
		}
	}
}
