package turnserver

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestBucket(t *testing.T) {
	b := bucket{rate: 1000, burst: bandwidthBurst} // of which a quarter may come at once
	for _, step := range []struct {
		at   time.Duration
		take int
		want bool
	}{
		{0, 100, true},
		{0, 0, true},
		{0, 151, false},
		{0, 150, true},
		{0, 1, false},
		{10 * time.Millisecond, 11, false},
		{10 * time.Millisecond, 10, true},
		{time.Hour, 250, true}, // not more than the burst has come back
		{time.Hour, 1, false},
		{2 * time.Hour, 65_507, true}, // full: whatever it is
		{2*time.Hour + 65*time.Second, 1, false},
		{2*time.Hour + 66*time.Second, 250, true},
		{time.Hour, 1, false}, // a batch whose time was read before
	} {
		if got := b.take(step.at, step.take); got != step.want {
			t.Errorf("at %v: take %d: got %v, want %v", step.at, step.take, got, step.want)
		}
	}
}

func TestBucketsWithoutBound(t *testing.T) {
	for _, rate := range []int64{0, -1} {
		b := bucket{rate: rate, burst: bandwidthBurst}
		for range 3 {
			if !b.take(0, 1<<30) {
				t.Errorf("rate %d: bounded", rate)
			}
		}
	}
}

// Many take at once, and together not more than there is.
func TestBucketIsShared(t *testing.T) {
	b := bucket{rate: 40_000, burst: bandwidthBurst}
	var taken atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5_000 {
				if b.take(0, 1) {
					taken.Add(1)
				}
			}
		})
	}
	all.Wait()
	if got := taken.Load(); got != 10_000 {
		t.Errorf("taken: got %d, want 10000", got)
	}
}

// Who was stopped in the middle of a batch is not held to what others have taken in the meantime.
func TestTakeAfterAPause(t *testing.T) {
	bounds := newBandwidth(1000, 1000)
	bounds.now = func() time.Duration { return time.Hour }
	b := &batch{listener: &listener{server: &Server{allocations: newAllocations(1, 1, bounds)}}} // its time was read an hour ago
	u := bounds.newUsage()
	if !u.take(time.Hour, 200) || !b.take(u, 10) {
		t.Error("10 of 50 bytes that are left: refused")
	}
	if b.take(u, 100) {
		t.Error("100 of 40 bytes that are left: taken")
	}
	other := &usage{own: bucket{rate: 1000, burst: bandwidthBurst}, all: u.all}
	if other.take(b.now, 100) || !other.own.take(b.now, 250) {
		t.Error("what all together may not have was taken from one's own")
	}
}

// Who ends all allocations and begins anew has used what was used, and is forgotten once that makes no difference.
func TestUsageOutlivesAllocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, alice := newAllocations(10, 10, newBandwidth(1000, 0)), identity{user: "alice"}
		for i, want := range []bool{true, false, false} {
			use, err := a.take(alice, 1)
			if err != nil {
				t.Fatal(err)
			}
			if got := use.take(a.bandwidth.now(), 250); got != want {
				t.Errorf("allocation %d: the burst is there: got %v, want %v", i, got, want)
			}
			a.release("alice", 1)
			if _, users := a.count(); users != 0 {
				t.Errorf("%d users have something, want none", users)
			}
		}
		time.Sleep(249 * time.Millisecond)
		synctest.Wait()
		if got := a.known(); got != 1 {
			t.Errorf("%d users are known, want one: the usage is forgotten early", got)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := a.known(); got != 0 {
			t.Errorf("%d users with nothing are left", got)
		}
	})
}

// known counts the users, those included who have nothing.
func (a *allocations) known() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.byUser)
}

// Who comes and goes while the usage is not forgotten yet costs nothing more, no timer above all.
func TestComingAndGoingCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, alice := newAllocations(10, 10, newBandwidth(1000, 0)), identity{user: "alice"}
		use, err := a.take(alice, 1)
		if err != nil || !use.take(a.bandwidth.now(), 250) {
			t.Fatalf("the first place and the burst: refused (%v)", err)
		}
		a.release("alice", 1)
		if got := testing.AllocsPerRun(100, func() { a.take(alice, 1); a.release("alice", 1) }); got != 0 {
			t.Errorf("another %v things are kept each time, want none", got)
		}
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		if len(a.byUser) != 0 {
			t.Error("a user with nothing is left")
		}
	})
}
