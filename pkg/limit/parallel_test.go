package limit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// rush has n users sign in at once, each of whose checks takes 50 ms, and returns how many were checked, the most of
// them at a time, and how many were refused.
func (tt *testThrottle) rush(n int, user func(int) string, addr string, decide func(*Attempt)) (checked, most, refused int32) {
	var running, top, done, waits atomic.Int32
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			a, err := tt.Begin(tt.Context(), user(i), netip.MustParseAddr(addr))
			if err != nil {
				waits.Add(1)
				return
			}
			for now, seen := running.Add(1), top.Load(); now > seen && !top.CompareAndSwap(seen, now); seen = top.Load() {
			}
			time.Sleep(50 * time.Millisecond)
			running.Add(-1)
			done.Add(1)
			decide(a)
		})
	}
	wg.Wait()
	return done.Load(), top.Load(), waits.Load()
}

func one(user string) func(int) string { return func(int) string { return user } }
func numbered(i int) string            { return fmt.Sprint("user", i) }

// TestThrottleRush: counting failures after the check would let all through that come at once.
func TestThrottleRush(t *testing.T) {
	for _, c := range []struct {
		name                   string
		n                      int
		user                   func(int) string
		decide                 func(*Attempt)
		checked, most, refused int32
	}{
		{"good logins", 5000, numbered, (*Attempt).Succeeded, 5000, 10, 0},
		{"good logins of one user", 1000, one("alice"), (*Attempt).Succeeded, 1000, 10, 0},
		{"undecided", 1000, numbered, (*Attempt).Undecided, 1000, 10, 0},
		{"guesses at many", 1000, numbered, (*Attempt).Failed, 10, 10, 990},
		{"guesses at one", 1000, one("bob"), (*Attempt).Failed, 10, 10, 990},
		{"guesses at one known there", 1000, one("alice"), (*Attempt).Failed, 10, 10, 990},
		{"guesses at nobody", 1000, one(""), (*Attempt).Failed, 10, 10, 990},
	} {
		t.Run(c.name, func(t *testing.T) {
			throttled(t, nil, func(tt *testThrottle) {
				tt.succeed("alice", home)
				checked, most, refused := tt.rush(c.n, c.user, home, c.decide)
				if checked != c.checked || most != c.most || refused != c.refused {
					tt.Errorf("%d at once: %d checked, %d at a time, %d refused; want %d, %d, %d",
						c.n, checked, most, refused, c.checked, c.most, c.refused)
				}
			})
		})
	}
}

// TestThrottleRushAfterFailures: the allowance is what the failures have left of it, and one when none is.
func TestThrottleRushAfterFailures(t *testing.T) {
	throttled(t, nil, func(tt *testThrottle) {
		tt.fail("mallory", home, 7)
		if checked, most, refused := tt.rush(100, numbered, home, (*Attempt).Succeeded); checked != 100 || most != 3 || refused != 0 {
			tt.Errorf("after 7 failures: %d checked, %d at a time, %d refused; want 100, 3, 0", checked, most, refused)
		}
		tt.fail("mallory", home, 3)
		time.Sleep(time.Second)
		newcomer := func(i int) string { return fmt.Sprint("newcomer", i) }
		if checked, most, refused := tt.rush(100, newcomer, home, (*Attempt).Failed); checked != 1 || most != 1 || refused != 99 {
			tt.Errorf("after 10 failures: %d checked, %d at a time, %d refused; want 1, 1, 99", checked, most, refused)
		}
		// Those who are known do not stand in line with the others.
		if checked, most, refused := tt.rush(100, numbered, home, (*Attempt).Succeeded); checked != 100 || most != 100 || refused != 0 {
			tt.Errorf("known users: %d checked, %d at a time, %d refused; want 100, 100, 0", checked, most, refused)
		}
	})
}

// TestThrottleRushOfMany: addresses with a failure each that guess at one name at the same time are one attacker.
func TestThrottleRushOfMany(t *testing.T) {
	throttled(t, nil, func(tt *testThrottle) {
		addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }
		for i := range 100 {
			tt.fail("alice", addr(i).String(), 1)
		}
		time.Sleep(15 * time.Minute)
		var checked atomic.Int32
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if a, err := tt.Begin(tt.Context(), "alice", addr(i)); err == nil {
					time.Sleep(50 * time.Millisecond)
					checked.Add(1)
					a.Failed()
				}
			})
		}
		wg.Wait()
		if got := checked.Load(); got != 1 {
			tt.Errorf("%d passwords were checked after the delay, want 1", got)
		}
	})
}

// TestThrottleTurn: an address is clean as long as those under way may be right; who comes after them finds out.
func TestThrottleTurn(t *testing.T) {
	for _, c := range []struct {
		name   string
		decide func(*Attempt)
		want   string
	}{
		{"succeeded", (*Attempt).Succeeded, "<nil>"},
		{"undecided", (*Attempt).Undecided, "<nil>"},
		{"failed", (*Attempt).Failed, "too many failed logins, try again in 1 s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			throttled(t, nil, func(tt *testThrottle) {
				for i := range 10 {
					tt.fail("alice", fmt.Sprint("203.0.113.", i), 1)
				}
				bob := tt.try("bob", home)
				result := make(chan error, 1)
				go func() {
					a, err := tt.Begin(tt.Context(), "alice", netip.MustParseAddr(home))
					if err == nil {
						a.Succeeded()
					}
					result <- err
				}()
				synctest.Wait()
				if len(result) != 0 {
					tt.Errorf("alice did not wait for bob: %v", <-result)
				}
				c.decide(bob)
				if got := fmt.Sprint(<-result); got != c.want {
					tt.Errorf("alice, after bob's attempt %s: %s, want %s", c.name, got, c.want)
				}
			})
		})
	}
}

func TestThrottleCanceled(t *testing.T) {
	throttled(t, &ThrottleOptions{Free: 1}, func(tt *testThrottle) {
		first := tt.try("alice", home)
		begin := func(ctx context.Context) chan error {
			result := make(chan error, 1)
			go func() {
				a, err := tt.Begin(ctx, "alice", netip.MustParseAddr(home))
				if err == nil {
					a.Undecided()
				}
				result <- err
			}()
			synctest.Wait()
			return result
		}
		short, cancel := context.WithCancel(tt.Context())
		results := []chan error{begin(short), begin(short), begin(tt.Context()), begin(short)}
		cancel()
		first.Undecided() // calls one who may have given up
		for i, want := range []error{context.Canceled, context.Canceled, nil, context.Canceled} {
			if err := <-results[i]; !errors.Is(err, want) {
				tt.Errorf("attempt %d: %v, want %v", i, err, want)
			}
		}
	})
}

// TestGateSuccessor: who was called by a gate and comes late leaves the one that took its place alone.
func TestGateSuccessor(t *testing.T) {
	alice, users := subject{user: "alice"}, newTable(ThrottleOptions{}.withDefaults())
	first := users.enter(alice)
	first.queue()
	first.leave()
	second := users.enter(alice)
	first.callNext()
	if got := users.gates[alice]; got != second {
		t.Errorf("the gate is %p, want %p", got, second)
	}
}

// TestThrottleAnything: whatever happens in whatever order, nobody waits for ever and nothing is left under way.
func TestThrottleAnything(t *testing.T) {
	for seed := range uint64(20) {
		throttled(t, &ThrottleOptions{Free: 3, Size: 4, Forget: time.Minute}, func(tt *testThrottle) {
			var wg sync.WaitGroup
			for worker := range uint64(20) {
				wg.Go(func() {
					random := rand.New(rand.NewPCG(seed, worker))
					for range 50 {
						ctx, cancel := context.WithTimeout(tt.Context(), time.Duration(random.IntN(20))*time.Second)
						user, addr := fmt.Sprint("user", random.IntN(4)), netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(6))})
						a, err := tt.Begin(ctx, user, addr)
						time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
						if err == nil {
							[]func(){a.Failed, a.Succeeded, a.Undecided}[random.IntN(3)]()
						}
						cancel()
					}
				})
			}
			wg.Wait()
		})
	}
}
