package turnserver

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// Who reached a listener on all addresses at one that the policy does not know gets a relay at one that it knows.
func TestRelayAtKnownAddresses(t *testing.T) {
	ts := newIdleServer(t, func(cfg *Config) { cfg.Listen = []string{"0.0.0.0:0"} })
	for _, reached := range []string{"127.0.0.1", "127.0.0.5"} {
		at, ok := ts.relayAt(netip.MustParseAddr(reached), ipv4)
		if want := netip.MustParseAddr("127.0.0.1"); !ok || at != (external{want, want}) || !ts.policy.Load().isRelayIP(at.local) {
			t.Errorf("reached at %s: relayed at %v, want %v, which the policy knows", reached, at, want)
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
			for ts.taken() != 2 {
				runtime.Gosched()
			}
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
