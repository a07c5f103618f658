package limit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

const home, office, elsewhere = "192.0.2.1", "198.51.100.7", "2001:db8::1"

// testThrottle runs in a bubble of testing/synctest.
type testThrottle struct {
	*testing.T
	*Throttle
}

// throttled runs a test in which time passes only when all wait, and checks that nothing is left under way after it.
func throttled(t *testing.T, opts *ThrottleOptions, test func(*testThrottle)) {
	synctest.Test(t, func(t *testing.T) {
		tt := &testThrottle{t, NewThrottle(opts)}
		test(tt)
		synctest.Wait()
		for name, table := range map[string]*table{"addresses": tt.addresses, "users": tt.users, "pairs": tt.pairs, "known": tt.known} {
			if n := len(table.gates); n != 0 {
				t.Errorf("%s: %d gates are left after all attempts, want 0", name, n)
			}
		}
		if tt.waiting != 0 {
			t.Errorf("%d are waiting after all attempts, want 0", tt.waiting)
		}
	})
}

// try begins an attempt that has to be possible at once.
func (tt *testThrottle) try(user, addr string) *Attempt {
	tt.Helper()
	began := time.Now()
	a, err := tt.Begin(tt.Context(), user, netip.MustParseAddr(addr))
	if err != nil {
		tt.Fatalf("%s from %s: %v, want an attempt", user, addr, err)
	}
	if waited := time.Since(began); waited != 0 {
		tt.Errorf("%s from %s: waited %v, want 0", user, addr, waited)
	}
	return a
}

func (tt *testThrottle) fail(user, addr string, times int) {
	tt.Helper()
	for range times {
		tt.try(user, addr).Failed()
	}
}

func (tt *testThrottle) succeed(user, addr string) {
	tt.Helper()
	tt.try(user, addr).Succeeded()
}

func (tt *testThrottle) wantWait(user, addr string, want time.Duration) {
	tt.Helper()
	a, err := tt.Begin(tt.Context(), user, netip.MustParseAddr(addr))
	if err == nil {
		a.Undecided()
	}
	var wait Wait
	errors.As(err, &wait)
	if wait.After != want {
		tt.Errorf("%s from %s: got %v, want to wait %v", user, addr, err, want)
	}
}

func TestThrottleDelays(t *testing.T) {
	throttled(t, nil, func(tt *testThrottle) {
		tt.fail("alice", home, 10)
		for _, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900} {
			delay := time.Duration(seconds) * time.Second
			tt.wantWait("alice", home, delay)
			tt.wantWait("bob", home, delay)
			tt.wantWait("", home, delay)
			time.Sleep(delay - time.Nanosecond)
			tt.wantWait("bob", home, time.Nanosecond)
			time.Sleep(time.Nanosecond)
			tt.fail("alice", home, 1)
		}
		time.Sleep(time.Hour - time.Nanosecond)
		tt.fail("bob", home, 1) // just not forgotten
		tt.wantWait("bob", home, 15*time.Minute)
		time.Sleep(time.Hour)
		tt.fail("bob", home, 10)
		tt.wantWait("bob", home, time.Second)
	})
}

func TestWait(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{1, 1}, {time.Second, 1}, {time.Second + 1, 2}, {15 * time.Minute, 900}} {
		if got := (Wait{c.after}).Seconds(); got != c.want {
			t.Errorf("Wait{%v}.Seconds() = %d, want %d", c.after, got, c.want)
		}
	}
	if got, want := (Wait{1500 * time.Millisecond}).Error(), "too many failed logins, try again in 2 s"; got != want {
		t.Errorf("Wait.Error() = %q, want %q", got, want)
	}
}

// TestThrottleFlood: of 10 000 wrong passwords in a row few are looked at, and the user is not kept out.
func TestThrottleFlood(t *testing.T) {
	throttled(t, nil, func(tt *testThrottle) {
		checked := 0
		for range 10_000 { // in 1 h
			if a, err := tt.Begin(tt.Context(), "alice", netip.MustParseAddr(home)); err == nil {
				checked++
				a.Failed()
			}
			time.Sleep(360 * time.Millisecond)
		}
		if want := 10 + 10 + 2; checked != want { // the free ones, after 1, 2, 4 … 512 s, and every 15 min
			tt.Errorf("%d passwords were checked, want %d", checked, want)
		}
		tt.succeed("alice", office)
	})
}

// TestThrottleDistributed: many addresses guess at one name. The first guess of each is free, the others share a delay.
func TestThrottleDistributed(t *testing.T) {
	throttled(t, nil, func(tt *testThrottle) {
		bot := func(i int) string { return fmt.Sprintf("203.0.113.%d", i) }
		for i := range 200 {
			tt.fail("alice", bot(i), 1)
		}
		for i := range 200 {
			tt.wantWait("alice", bot(i), 15*time.Minute)
		}
		tt.succeed("bob", bot(0)) // has a failure, as a name has not
		tt.succeed("alice", home)
		tt.succeed("alice", home)
		time.Sleep(15 * time.Minute)
		tt.fail("alice", bot(0), 1)
		tt.wantWait("alice", bot(1), 15*time.Minute)
	})
}

// TestThrottleOwnAccount: who owns an account cannot clear the way to others' with it.
func TestThrottleOwnAccount(t *testing.T) {
	throttled(t, nil, func(tt *testThrottle) {
		tt.succeed("mallory", home)
		tt.fail("alice", home, 9)
		tt.succeed("mallory", home)
		tt.fail("mallory", home, 5)
		tt.succeed("mallory", home)
		tt.fail("alice", home, 1)
		tt.wantWait("bob", home, time.Second)
		tt.succeed("mallory", home) // is known, and does not suffer either
		tt.wantWait("bob", home, time.Second)
	})
	// nor by failures at the own name that were taken back before
	throttled(t, nil, func(tt *testThrottle) {
		tt.fail("mallory", home, 9)
		tt.succeed("mallory", home)
		tt.fail("alice", home, 9)
		tt.succeed("mallory", home)
		tt.fail("alice", home, 1)
		tt.wantWait("bob", home, time.Second)
	})
	// nor by those that are forgotten already
	throttled(t, nil, func(tt *testThrottle) {
		tt.fail("mallory", home, 9)
		time.Sleep(time.Hour)
		tt.fail("alice", home, 9)
		tt.succeed("mallory", home)
		tt.fail("alice", home, 1)
		tt.wantWait("bob", home, time.Second)
	})
}

// TestThrottleMistyped: a success takes back the user's own failures, at the address and at the name.
func TestThrottleMistyped(t *testing.T) {
	throttled(t, nil, func(tt *testThrottle) {
		for i := range 500 { // an office in the morning
			user := fmt.Sprint("user", i)
			tt.fail(user, office, 3)
			tt.succeed(user, office)
		}
		tt.fail("user1", office, 9)
		tt.succeed("user1", office) // known already: the same
		tt.fail("newcomer", office, 9)
		tt.fail("user1", home, 9)
		tt.wantWait("user1", office, 0)
	})
}

// TestThrottleNeighbour: somebody behind the same address guesses.
func TestThrottleNeighbour(t *testing.T) {
	throttled(t, nil, func(tt *testThrottle) {
		tt.succeed("alice", office)
		tt.fail("bob", office, 10)
		tt.wantWait("bob", office, time.Second)
		tt.wantWait("carol", office, time.Second) // may be the one who guesses
		tt.fail("alice", office, 9)
		tt.succeed("alice", office)
		tt.fail("alice", office, 10)
		tt.wantWait("alice", office, time.Second) // known, but guessed at
		time.Sleep(time.Second)
		tt.fail("alice", office, 1)
		tt.wantWait("alice", office, 2*time.Second)
		tt.wantWait("bob", office, 1023*time.Second-123*time.Second) // those at alice count for the address: 900 s
		tt.succeed("alice", home)
	})
}

func TestThrottleUnnamed(t *testing.T) {
	throttled(t, nil, func(tt *testThrottle) {
		long := strings.Repeat("x", protocol.MaxNameLen+1)
		tt.fail(long, home, 5)
		tt.fail("", home, 4)
		tt.succeed("", home)
		tt.fail("not a name", home, 1)
		tt.wantWait(long, home, time.Second)
		tt.succeed(long, elsewhere)
		for name, table := range map[string]*table{"users": tt.users, "pairs": tt.pairs, "known": tt.known} {
			if n := table.records.Len(); n != 0 {
				tt.Errorf("%s: %d entries, want none of a name that is not valid", name, n)
			}
		}
		// Addresses that are not known are one.
		for range 10 {
			a, err := tt.Begin(tt.Context(), "alice", netip.Addr{})
			if err != nil {
				tt.Fatalf("an attempt without an address: %v", err)
			}
			a.Failed()
		}
		if _, err := tt.Begin(tt.Context(), "bob", netip.Addr{}); !errors.As(err, new(Wait)) {
			tt.Errorf("the 11th attempt without an address: %v, want a Wait", err)
		}
	})
}

func TestThrottleUndecided(t *testing.T) {
	throttled(t, nil, func(tt *testThrottle) {
		for i := range 1000 {
			tt.try(fmt.Sprint("user", i), home).Undecided()
		}
		if n := tt.addresses.records.Len() + tt.users.records.Len() + tt.pairs.records.Len() + tt.known.records.Len(); n != 0 {
			tt.Errorf("%d entries after attempts that were not decided, want 0", n)
		}
		a := tt.try("alice", home)
		a.Undecided()
		for range 20 {
			a.Failed() // the first call counts
		}
		tt.fail("alice", home, 10)
		a = tt.try("alice", office)
		a.Failed()
		a.Succeeded()
		tt.wantWait("alice", office, 2*time.Second) // one failure there, eleven in all
	})
}

// TestThrottleBounded: many names from many addresses take no more memory than those of Size.
func TestThrottleBounded(t *testing.T) {
	const size = 100
	tt := NewThrottle(&ThrottleOptions{Size: size})
	addr := netip.MustParseAddr("2001:db8::").As16()
	for i := range 200_000 {
		addr[4], addr[5], addr[6] = byte(i>>16), byte(i>>8), byte(i)
		a, err := tt.Begin(context.Background(), fmt.Sprint("user", i), netip.AddrFrom16(addr))
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			a.Failed()
		} else {
			a.Succeeded()
		}
	}
	for name, table := range map[string]*table{"addresses": tt.addresses, "users": tt.users, "pairs": tt.pairs, "known": tt.known} {
		if n := table.records.Len(); n != size {
			t.Errorf("%s: %d entries, want %d", name, n, size)
		}
		if n := len(table.gates); n != 0 {
			t.Errorf("%s: %d gates, want 0", name, n)
		}
	}
}

func BenchmarkThrottle(b *testing.B) {
	addr := netip.MustParseAddr(home)
	run := func(name string, decide func(*Attempt)) {
		b.Run(name, func(b *testing.B) {
			t := NewThrottle(&ThrottleOptions{Free: 1 << 30})
			b.ReportAllocs()
			for b.Loop() {
				a, err := t.Begin(b.Context(), "alice", addr)
				if err != nil {
					b.Fatal(err)
				}
				decide(a)
			}
		})
	}
	run("failed", (*Attempt).Failed)
	run("succeeded", (*Attempt).Succeeded)
	b.Run("refused", func(b *testing.B) {
		t := NewThrottle(nil)
		b.ReportAllocs()
		for b.Loop() {
			if a, err := t.Begin(b.Context(), "alice", addr); err == nil {
				a.Failed() // the first, and some whose delay is over
			}
		}
	})
}
