package turnserver

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// Who reached a listener on all addresses at one that the policy does not know gets a relay at one that it knows.
func TestRelayAtKnownAddresses(t *testing.T) {
	ts := newIdleServer(t, func(cfg *Config) { cfg.Listen = []string{"0.0.0.0:0"} })
	for _, reached := range []string{"127.0.0.1", "127.0.0.5"} {
		at, ok := ts.relayAt(netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr(reached), ipv4)
		if want := netip.MustParseAddr("127.0.0.1"); !ok || at != (external{want, want}) || !ts.policy.Load().isRelayIP(at.local) {
			t.Errorf("reached at %s: relayed at %v, want %v, which the policy knows", reached, at, want)
		}
	}
}

// A client of this machine is relayed at a loopback address if it came by one. A client of another machine is not, as long
// as there is another address: a proxy has brought it.
func TestRelayAtLoopback(t *testing.T) {
	ts := newIdleServer(t, nil)
	const here, there = "127.0.0.1/32 ::1/128", "198.51.100.1/32 2600::1/128"
	for _, tt := range []struct {
		listen, client, reached string
		want4, want6            string
	}{
		{here + " " + there, "127.0.0.1", "127.0.0.1", "127.0.0.1", "::1"},
		{here + " " + there, "127.0.0.1", "127.0.0.5", "127.0.0.1", "::1"},
		{here + " " + there, "::1", "::1", "127.0.0.1", "::1"},
		{here + " " + there, "127.0.0.1", "::1", "127.0.0.1", "::1"}, // by a proxy
		{here + " " + there, "198.51.100.7", "198.51.100.1", "198.51.100.1", "2600::1"},
		{here + " " + there, "198.51.100.1", "198.51.100.1", "198.51.100.1", "2600::1"},
		{here + " " + there, "2600::7", "2600::1", "198.51.100.1", "2600::1"},
		{here + " " + there, "198.51.100.7", "127.0.0.1", "198.51.100.1", "2600::1"}, // by a proxy of this machine, as the next three
		{here + " " + there, "198.51.100.7", "::1", "198.51.100.1", "2600::1"},
		{here + " " + there, "2600::7", "127.0.0.1", "198.51.100.1", "2600::1"},
		{here + " " + there, "2600::7", "::1", "198.51.100.1", "2600::1"},
		{here + " " + there, "127.0.0.1", "198.51.100.1", "198.51.100.1", "2600::1"}, // of a proxy's machine
		{here, "198.51.100.7", "127.0.0.1", "127.0.0.1", "::1"},                      // there is none for it; two such clients reach each other
		{here, "2600::7", "::1", "127.0.0.1", "::1"},
		{there, "127.0.0.1", "127.0.0.1", "198.51.100.1", "2600::1"},
		{"127.0.0.1/32 2600::1/128", "198.51.100.7", "127.0.0.1", "127.0.0.1", "2600::1"},
		{"127.0.0.1/32", "198.51.100.7", "127.0.0.1", "127.0.0.1", ""},
	} {
		p := *ts.policy.Load()
		p.host.served = prefixIPs(strings.Fields(tt.listen)...)
		ts.policy.Store(&p)
		for f, want := range map[family]string{ipv4: tt.want4, ipv6: tt.want6} {
			at, ok := ts.relayAt(netip.MustParseAddr(tt.client), netip.MustParseAddr(tt.reached), f)
			if got := at.local; ok != (want != "") || ok && got.String() != want || at.public != at.local {
				t.Errorf("listening at %s: client %s that reached %s: relayed at %v, %v, want %q", tt.listen, tt.client, tt.reached, at.local, ok, want)
			}
		}
	}
}

// An Allocate request that fails after its port and the next were taken leaves neither.
func TestFailedReservation(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail func(*testServer) // called when the places are taken
		want int               // 0: no answer
	}{
		{"kicked", func(ts *testServer) { ts.allocations.kick("alice", ts.clock.now().Add(time.Hour), ts.clock.now()) }, 401},
		{"the control plane has ended", func(ts *testServer) { ts.control.close() }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ts := newIdleServer(t, nil)
			c := learned(ts, "127.0.1.1:1", false)
			ts.reservations.mu.Lock() // where it waits with both ports open
			answer := make(chan *stun.Message, 1)
			go func() { answer <- c.askSigned(stun.MethodAllocate, requestedUDP, raw(stun.AttrEvenPort, reserveNext)) }()
			until(t, "both ports are open", func() bool { return ts.taken() == 2 })
			tt.fail(ts)
			ts.reservations.mu.Unlock()
			got := <-answer
			if got == nil != (tt.want == 0) || got != nil && errorCode(got) != tt.want {
				t.Errorf("got %v, want error %d", got, tt.want)
			}
			if places, kept := ts.taken(), ts.reservations.count(); places != 0 || kept != 0 {
				t.Errorf("%d places are taken and %d ports kept, want none", places, kept)
			}
		})
	}
}

// taken is how many places are.
func (ts *testServer) taken() int {
	ts.allocations.mu.RLock()
	defer ts.allocations.mu.RUnlock()
	return ts.allocations.places
}
