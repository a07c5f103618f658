package turnserver

import (
	"context"
	"math"
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"

	"github.com/sigctl/sigctl/pkg/limit"
)

// Check relays a packet, counts for nobody, and says what is wrong.
func TestCheck(t *testing.T) {
	ts := newTestServer(t, nil)
	if err := ts.Check(t.Context()); err != nil {
		t.Fatalf("check: %v", err)
	}
	if got := ts.Stats(); got.Allocations != 0 || got.AllocationsCreated != 0 {
		t.Errorf("after a check: got %+v, want no allocation", got)
	}
	if err := ts.Drain(t.Context(), netip.AddrPort{}); err != nil {
		t.Fatalf("drain: %v", err)
	}
	if err := ts.Check(t.Context()); err != ErrDraining {
		t.Errorf("check of a drained server: got %v, want %v", err, ErrDraining)
	}
}

// A check that fails midway leaves nothing: after more of them than a user has places, another one works.
func TestFailedChecksLeaveNothing(t *testing.T) {
	ts := newTestServer(t, func(cfg *Config) { cfg.UserQuota, cfg.Bandwidth = 2, 1000 })
	used := &ts.allocations.bandwidth.all.full
	used.Store(math.MaxInt64 / 2) // for years
	for i := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		before := ts.total().Dropped["bandwidth"]
		go func() { failed <- ts.Check(ctx) }()
		until(t, "its packet is dropped", func() bool { return ts.total().Dropped["bandwidth"] != before || len(failed) > 0 })
		cancel()
		if err := <-failed; err == nil || ts.total().Dropped["bandwidth"] == before {
			t.Errorf("check %d: got %v, want that its packet does not come back", i, err)
		}
		if got := ts.Stats(); got.Allocations != 0 || got.Users != 0 {
			t.Errorf("after failed check %d there are %d allocations of %d users, want none", i, got.Allocations, got.Users)
		}
	}
	used.Store(0)
	if err := ts.Check(t.Context()); err != nil {
		t.Errorf("check when there is bandwidth again: %v", err)
	}
}

// However many strangers ask and guess, a check is answered.
func TestCheckAmongStrangers(t *testing.T) {
	ts := newIdleServer(t, nil)
	strangers := ts.guard.strangers // all used up
	strangers.refusal = newAnswerLimit(limit.Rate{}, limit.Rate{})
	strangers.searches = limit.NewBuckets[netip.Prefix](limit.Rate{}, 1)
	served := make(chan error, 1)
	go func() { served <- ts.Serve(context.Background()) }()
	t.Cleanup(func() { ts.Close(); <-served })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := ts.Check(ctx); err != nil {
		t.Errorf("check: %v", err)
	}
	excepted := 0
	strangers.excepted.Range(func(any, any) bool { excepted++; return true })
	if got := ts.total().Dropped["stranger"]; got != 0 || excepted != 0 {
		t.Errorf("afterwards: %d dropped, %d clients excepted, want none", got, excepted)
	}
}

// A check that has gone when its request is read leaves nothing either.
func TestLateCheckLeavesNothing(t *testing.T) {
	ts := newIdleServer(t, nil)
	c := learned(ts, "127.0.0.1:1", false)
	c.username, c.password = ts.auth.probe.name, ts.auth.probe.password
	c.askSigned(stun.MethodAllocate, requestedUDP)
	if got, _ := ts.allocations.count(); got != 0 {
		t.Errorf("%d allocations, want none", got)
	}
}
