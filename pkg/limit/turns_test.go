package limit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// rush is callers that wait for the one worker of Turns, which is busy.
type rush struct {
	t      *testing.T
	turns  *Turns
	served []string // in the order of their turns; guarded by the worker
	lost   chan string
}

func newRush(t *testing.T, maxWaiting int) *rush {
	r := &rush{t: t, turns: NewTurns(1, maxWaiting), lost: make(chan string, 10_000)}
	if err := r.turns.Acquire(t.Context(), Client{}); err != nil {
		t.Fatal(err)
	}
	return r
}

// waits lets a caller wait. It is served when its turn comes, and takes no time.
func (r *rush) waits(name, addr string, s Standing) {
	go func() {
		err := r.turns.Acquire(context.Background(), Client{netip.MustParseAddr(addr), s})
		switch {
		case err == nil:
			r.served = append(r.served, name)
			r.turns.Release()
		case errors.Is(err, ErrFull):
			r.lost <- name
		default:
			r.t.Errorf("%s: %v", name, err)
		}
	}()
	synctest.Wait()
}

// turnOf frees the worker and returns how many callers are served before name.
func (r *rush) turnOf(name string) int {
	r.t.Helper()
	r.turns.Release()
	synctest.Wait()
	if n := r.turns.Waiting(); n != 0 {
		r.t.Errorf("%d callers still wait, want none", n)
	}
	at := slices.Index(r.served, name)
	if at < 0 {
		r.t.Fatalf("%s was not served", name)
	}
	return at
}

func (r *rush) wantLost(want ...string) {
	r.t.Helper()
	var got []string
	for range len(r.lost) {
		got = append(got, <-r.lost)
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("lost their places: %v, want %v", got, want)
	}
}

// A newcomer is served long before a flood that came first is through.
func TestTurnsAreFair(t *testing.T) {
	const addresses, each = 80, 10
	for _, tt := range []struct {
		name     string
		flood    string // of the address's number
		standing Standing
		from     string
		as       Standing
		most     int // served before the newcomer
	}{
		{"80 networks that failed", "10.%d.0.1", Poor, "192.0.2.1", Neutral, 2},
		{"80 networks, nothing known against them", "10.%d.0.1", Neutral, "192.0.2.1", Neutral, addresses},
		{"80 networks, the newcomer is known", "10.%d.0.1", Neutral, "192.0.2.1", Good, 2},
		{"80 addresses of a /24", "10.0.0.%d", Neutral, "192.0.2.1", Neutral, 2},
		{"80 addresses of a /24, one of them the newcomer's", "10.0.0.%d", Neutral, "10.0.0.200", Neutral, addresses},
		{"an IPv6 /48", "2001:db8:7:%d::1", Neutral, "2001:db8:8::1", Neutral, 2},
		{"an IPv6 /32", "2001:db8:%d::1", Neutral, "2001:db9::1", Neutral, 2},
		{"everybody failed", "10.%d.0.1", Poor, "192.0.2.1", Poor, addresses},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRush(t, addresses*each+1)
				for n := range addresses * each {
					r.waits("flood", fmt.Sprintf(tt.flood, 1+n%addresses), tt.standing)
				}
				r.waits("newcomer", tt.from, tt.as)
				if got := r.turnOf("newcomer"); got > tt.most {
					t.Errorf("%d are served before the newcomer, want %d at most", got, tt.most)
				}
				r.wantLost()
			})
		})
	}
}

// A standing with callers waiting gets its share of the turns, whatever comes for the others.
func TestTurnsByStanding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRush(t, 300)
		for range 70 {
			r.waits("good", "192.0.2.1", Good)
			r.waits("neutral", "192.0.2.1", Neutral)
			r.waits("poor", "192.0.2.1", Poor)
		}
		r.turnOf("poor")
		count := map[string]int{}
		for _, name := range r.served[:70] {
			count[name]++
		}
		if count["good"] != 40 || count["neutral"] != 20 || count["poor"] != 10 {
			t.Errorf("of the first 70 turns: %v, want 40 good, 20 neutral, 10 poor", count)
		}
	})
}

// A full room costs the largest group its newest place, and nobody else.
func TestTurnsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRush(t, 8)
		for n := range 6 {
			r.waits(fmt.Sprint("flood ", n), "10.0.0.1", Neutral)
		}
		r.waits("a", "192.0.2.1", Neutral)
		r.waits("b", "198.51.100.1", Neutral)
		r.wantLost()
		r.waits("c", "203.0.113.1", Neutral)
		r.wantLost("flood 5")
		r.waits("flood 6", "10.0.0.1", Neutral)
		r.wantLost("flood 6")
		r.turnOf("c")
	})
}

// A standing is sure of a quarter of the places, and a better one does not lose its own to a
// poorer one.
func TestTurnsKeepPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRush(t, 8)
		for n := range 8 {
			r.waits(fmt.Sprint("poor ", n), fmt.Sprintf("10.%d.0.1", n), Poor)
		}
		for n := range 8 {
			r.waits(fmt.Sprint("good ", n), fmt.Sprintf("10.%d.0.1", n), Good)
		}
		if lost := len(r.lost); lost != 8 {
			t.Errorf("%d lost their places, want 8", lost)
		}
		poor, good := r.turns.queues[Poor].size(), r.turns.queues[Good].size()
		if poor != 2 || good != 6 {
			t.Errorf("%d poor and %d good wait, want 2 and 6", poor, good)
		}
		r.turns.Release()
	})
}

// A caller that gives up leaves nothing behind, and passes on a worker that it got at that moment.
func TestTurnsGivenUp(t *testing.T) {
	turns := NewTurns(2, 64)
	var running, most atomic.Int32
	var all sync.WaitGroup
	for n := range 64 {
		all.Go(func() {
			from := Client{netip.AddrFrom4([4]byte{10, 0, byte(n / 8), byte(n)}), Standing(n % standings)}
			for i := range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%3 == 0 {
					all.Go(cancel)
				}
				switch err := turns.Acquire(ctx, from); {
				case err == nil:
					most.Store(max(most.Load(), running.Add(1)))
					running.Add(-1)
					turns.Release()
				case !errors.Is(err, context.Canceled):
					t.Errorf("Acquire = %v, want %v", err, context.Canceled)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if n := most.Load(); n > 2 {
		t.Errorf("%d ran at once, want 2 at most", n)
	}
	if turns.free != 2 || turns.waiting != 0 {
		t.Errorf("%d workers are free and %d callers wait, want 2 and 0", turns.free, turns.waiting)
	}
	for s := range turns.queues {
		if root := &turns.queues[s].root; root.size != 0 || len(root.children) != 0 || root.order.Len() != 0 {
			t.Errorf("standing %d still has %d groups", s, len(root.children))
		}
	}
}

func TestStanding(t *testing.T) {
	throttle := NewThrottle(nil)
	home, office := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	for _, step := range []struct {
		name, user string
		from       netip.Addr
		want       Standing
		then       func(*Attempt)
	}{
		{"first", "alice", home, Neutral, (*Attempt).Succeeded},
		{"known here", "alice", home, Good, (*Attempt).Undecided},
		{"not known there", "alice", office, Neutral, (*Attempt).Failed},
		{"failed there", "alice", office, Poor, (*Attempt).Undecided},
		{"another user there", "bob", office, Poor, (*Attempt).Undecided},
		{"still known here", "alice", home, Good, (*Attempt).Failed},
		{"failed here", "alice", home, Poor, (*Attempt).Succeeded},
		{"forgiven", "alice", home, Good, (*Attempt).Succeeded},
	} {
		a, err := throttle.Begin(t.Context(), step.user, step.from)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := a.Client(); got != (Client{step.from, step.want}) {
			t.Errorf("%s: the client is %v, want %v with standing %d", step.name, got, step.from, step.want)
		}
		step.then(a)
	}
}

func BenchmarkTurns(b *testing.B) {
	turns := NewTurns(1, 1024)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if turns.Acquire(b.Context(), Client{Addr: netip.AddrFrom4([4]byte{10, 0, 0, 1})}) == nil {
				turns.Release()
			}
		}
	})
}
