package turnserver

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// An allocation may end, by a kick say, while the library is in the midst of a request about it. Here the library waits for
// us when it has made half of a permission; if it closed the allocation then, it would panic.
func TestEndDuringRequest(t *testing.T) {
	ts := newIdleServer(t, nil)
	c, midst := ts.control, 0
	for i, end := 0, time.Now().Add(patience); midst < 10; i++ {
		if time.Now().After(end) {
			t.Fatalf("of %d allocations only %d ended in the midst of a request", i, midst)
		}
		learned(ts, fmt.Sprintf("127.0.1.1:%d", 1+i), true)
		a := ts.only()
		a.flows.mu.Lock()
		bound := make(chan error, 1)
		go func() { bound <- c.bind(a, 0x4000, netip.MustParseAddrPort("127.0.0.2:9")) }()
		for c.one.TryLock() {
			c.one.Unlock()
			runtime.Gosched()
		}
		yield()     // the library comes to where it waits
		c.forget(a) // the end does not come to where it would wait, too
		ended := make(chan struct{})
		go func() { a.end(); close(ended) }()
		<-a.ended
		yield() // the library would close the allocation
		a.flows.mu.Unlock()
		<-ended
		switch err := <-bound; {
		case err == nil:
			midst++
		case !errors.Is(err, errEnded): // before it began
			t.Errorf("bind: %v", err)
		}
	}
}

// yield lets others run for a while.
func yield() {
	for range 1000 {
		runtime.Gosched()
	}
}

// What has ended is not the library's any more: no request about it comes there, not even if the timer is late.
func TestRequestAfterEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*testServer, *allocation)
		want error
	}{
		{"alive", func(ts *testServer, _ *allocation) { ts.clock.advance(defaultLifetime - time.Second) }, nil},
		{"ended", func(_ *testServer, a *allocation) { a.end() }, errEnded},
		{"expired, unnoticed", func(ts *testServer, _ *allocation) { ts.clock.advance(defaultLifetime) }, errEnded},
	} {
		peer := netip.MustParseAddrPort("127.0.0.2:9")
		for method, request := range map[string]func(*control, *allocation) error{
			"permit":       func(c *control, a *allocation) error { return c.permit(a, []netip.AddrPort{peer}) },
			"bind":         func(c *control, a *allocation) error { return c.bind(a, 0x4000, peer) },
			"refresh":      func(c *control, a *allocation) error { return c.refresh(a, time.Minute) },
			"refresh to 0": func(c *control, a *allocation) error { return c.refresh(a, 0) },
		} {
			ts := newIdleServer(t, nil)
			learned(ts, "127.0.1.1:1", true)
			a := ts.only()
			tt.end(ts, a)
			if err := request(ts.control, a); !errors.Is(err, tt.want) || a.hasEnded() != (tt.want != nil || method == "refresh to 0") {
				t.Errorf("%s, %s: got %v, ended %v, want %v", tt.name, method, err, a.hasEnded(), tt.want)
			}
		}
	}
}

// Who loses an allocation before it is told of it is not told of it. Nothing is left.
func TestEndDuringAllocate(t *testing.T) {
	ts := newIdleServer(t, nil)
	c := learned(ts, "127.0.1.1:1", false)
	ts.control.one.Lock()
	answer := make(chan *stun.Message, 1)
	go func() { answer <- c.askSigned(stun.MethodAllocate, requestedUDP) }()
	until(t, "it is allocated", func() bool { return ts.Stats().Allocations != 0 })
	ts.Kick("alice", time.Time{})
	ts.control.one.Unlock()
	if err := wantCode(<-answer, 437); err != nil {
		t.Error(err)
	}
	if got := ts.Stats(); got.Allocations != 0 || got.AllocationsCreated != 0 || len(ts.control.lives) != 0 {
		t.Errorf("%d allocations, %d created, %d of the library's: want none", got.Allocations, got.AllocationsCreated, len(ts.control.lives))
	}
}

// The library never ends an allocation by a timer of its own: whatever the client gets, the library is asked for more.
func TestLibraryLifetime(t *testing.T) {
	c := &control{in: make(chan *libraryRequest), out: make(chan []byte), lives: make(map[uint64]*allocation), renewed: time.Now()}
	a := &allocation{server: &Server{auth: &auth{now: time.Now}}, ended: make(chan struct{})}
	defer a.stopExpiry()
	for _, seconds := range []time.Duration{defaultLifetime, longestLifetime} {
		for method, request := range map[stun.Method]func() error{
			stun.MethodAllocate: func() error { return c.allocate(a, seconds) },
			stun.MethodRefresh:  func() error { return c.refresh(a, seconds) },
		} {
			done := make(chan error, 1)
			go func() { done <- request() }()
			m := &stun.Message{Raw: (<-c.in).raw}
			if err := m.Decode(); err != nil {
				t.Fatal(err)
			}
			if got, _ := m.Get(stun.AttrLifetime); string(got) != string(lifetime(3599).Value) || longestLifetime > 59*time.Minute {
				t.Errorf("%s for %v: the library is asked for %x, want 3599 s", method, seconds, got)
			}
			c.out <- stun.MustBuild(m, stun.NewType(method, stun.ClassSuccessResponse)).Raw
			if err := <-done; err != nil {
				t.Errorf("%s: %v", method, err)
			}
			if left := time.Until(a.expires); left > seconds || left < seconds-time.Minute {
				t.Errorf("%s for %v: the allocation has %v", method, seconds, left)
			}
		}
	}
}

// LIFETIME is what is left until the allocation ends: never more than the server lets it live.
func TestMaxLifetime(t *testing.T) {
	for _, tt := range []struct {
		name      string
		most      time.Duration
		asked     uint32
		first     uint32        // what Allocate gets
		refreshed time.Duration // after it
		second    uint32        // what Refresh gets; 0: 437
	}{
		{"default", 0, 600, 600, 300 * time.Second, 600},
		{"an hour", 0, 3600, 3540, 300 * time.Second, 3540},
		{"shorter than the default", 5 * time.Minute, 600, 300, 299 * time.Second, 1},
		{"the rest", time.Hour, 3600, 3540, 3000 * time.Second, 600},
		{"parts of seconds", time.Hour, 3600, 3540, 3539*time.Second + time.Millisecond, 61},
		{"part of the last", 300*time.Second + time.Millisecond, 600, 301, 300 * time.Second, 1},
		{"nothing", 299*time.Second + time.Millisecond, 600, 300, 299*time.Second + 2*time.Millisecond, 0},
	} {
		ts := newIdleServer(t, func(cfg *Config) { cfg.MaxLifetime, cfg.NonceLifetime = tt.most, 2*time.Hour })
		c := learned(ts, "127.0.1.1:1", false)
		if err := wantLifetime(c.askSigned(stun.MethodAllocate, requestedUDP, lifetime(tt.asked)), tt.first); err != nil {
			t.Fatalf("%s: Allocate: %v", tt.name, err)
		}
		a := ts.only()
		wantExpiry := func(seconds uint32) {
			t.Helper()
			if got := a.expires.Sub(ts.clock.now()); got != time.Duration(seconds)*time.Second {
				t.Errorf("%s: the allocation ends in %v, want %d s", tt.name, got, seconds)
			}
		}
		wantExpiry(tt.first)
		before := a.expiry
		ts.clock.advance(tt.refreshed)
		response := c.askSigned(stun.MethodRefresh, lifetime(tt.asked))
		if tt.second == 0 {
			if err := wantCode(response, 437); err != nil || !a.hasEnded() {
				t.Errorf("%s: Refresh: %v; ended: %v, want true", tt.name, err, a.hasEnded())
			}
			continue
		}
		if err := wantLifetime(response, tt.second); err != nil {
			t.Errorf("%s: Refresh: %v", tt.name, err)
		}
		wantExpiry(tt.second)
		if before.Stop() {
			t.Errorf("%s: the allocation ends when it was to end before the Refresh", tt.name)
		}
	}
}

// What ends while the library works on a request that prolongs it has ended: the client is not told of more.
func TestEndBeforeProlonged(t *testing.T) {
	ts := newIdleServer(t, nil)
	for i, end := range []func(*allocation){
		(*allocation).end,
		func(a *allocation) { a.expiry.Stop() },                         // it fires, and has not come to the end yet
		func(a *allocation) { a.stopExpiry(); a.expiry = nil; a.end() }, // before it had one
	} {
		learned(ts, fmt.Sprintf("127.0.1.1:%d", 1+i), true)
		a := ts.only()
		end(a)
		if err := a.liveFor(time.Hour); !errors.Is(err, errEnded) || a.expiry != nil && a.expiry.Stop() {
			t.Errorf("end %d: got %v, or the timer runs; want %v and no timer", i, err, errEnded)
		}
		a.end()
	}
}
