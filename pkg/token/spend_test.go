package token

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// use is what a login does.
func use(t *testing.T, a *Authority, text string) error {
	t.Helper()
	c, err := a.Verify(t.Context(), text, Room)
	if err != nil {
		return err
	}
	return a.Spend(t.Context(), c)
}

func wantUse(t *testing.T, a *Authority, text string, want error) {
	t.Helper()
	if got := use(t, a, text); !errors.Is(got, want) || (got == nil) != (want == nil) {
		t.Errorf("use: got %v, want %v", got, want)
	}
}

func wantUnspent(t *testing.T, a *Authority, c Claims, want error) {
	t.Helper()
	if got := a.Unspent(t.Context(), c); !errors.Is(got, want) || (got == nil) != (want == nil) {
		t.Errorf("unspent: got %v, want %v", got, want)
	}
}

// TestReplay: a token is used once, as long as it is accepted at all.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t, &memoryKeys{}, NewMemorySpender(), nil)
		text, c := issue(t, a, alice(Room), MaxLifetime)
		wantUnspent(t, a, c, nil)
		wantUnspent(t, a, c, nil)
		wantUse(t, a, text, nil)
		wantUnspent(t, a, c, ErrReplayed)
		for range 31 {
			wantUse(t, a, text, ErrReplayed)
			time.Sleep(30 * time.Second)
		}
		wantUse(t, a, text, ErrExpired)
	})
}

// TestReplayAtTheEnd: who was verified in time, and spends too late, does not
// find the id forgotten.
func TestReplayAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t, &memoryKeys{}, NewMemorySpender(), nil)
		text, _ := issue(t, a, alice(Room), time.Minute)
		wantUse(t, a, text, nil)
		time.Sleep(time.Minute + Leeway - 1)
		c := wantVerify(t, a, text, Room, nil)
		if err := a.Spend(t.Context(), c); !errors.Is(err, ErrReplayed) {
			t.Errorf("spend at the end: got %v, want %v", err, ErrReplayed)
		}
		time.Sleep(time.Nanosecond)
		if err := a.Spend(t.Context(), c); !errors.Is(err, ErrExpired) {
			t.Errorf("spend after the end: got %v, want %v", err, ErrExpired)
		}
		if used, err := a.spent.Spent(t.Context(), c.ID); !used || err != nil {
			t.Errorf("the id is forgotten at once: %v, %v", used, err)
		}
	})
}

// TestRestart: of one second, a token from before the start is refused, and one
// from after it is good. An access token is good throughout.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &memoryKeys{}
		start := func() *Authority {
			time.Sleep(100 * time.Millisecond)
			return open(t, keys, NewMemorySpender(), nil)
		}
		old := start()
		used, _ := issue(t, old, alice(Room), time.Minute)
		unused, c := issue(t, old, alice(Room), time.Minute)
		access, _ := issue(t, old, alice(Access), time.Minute)
		afterKick := alice(Room)
		afterKick.After = time.Now()
		kicked, inFuture := issue(t, old, afterKick, time.Minute)
		wantUse(t, old, used, nil)
		wantUse(t, old, kicked, nil)

		again := start()
		for _, text := range []string{used, unused, kicked} {
			wantUse(t, again, text, ErrBeforeStart)
		}
		wantVerify(t, again, access, Access, nil)
		text, fresh := issue(t, again, alice(Room), time.Minute)
		wantUse(t, again, text, nil)
		wantUse(t, again, text, ErrReplayed)
		if !fresh.Issued.Equal(c.Issued) || !inFuture.Issued.After(fresh.Issued) {
			t.Errorf("iat is %v before, and %v after the start: they are to be one second", c.Issued, fresh.Issued)
		}
		time.Sleep(5 * time.Second)
		wantUse(t, again, used, ErrBeforeStart)
	})
}

// TestClockSetBack: what is issued after the start is good, whatever the clock
// does.
func TestClockSetBack(t *testing.T) {
	clock := &clock{now: testNow}
	m := NewMemorySpender().(*memorySpender)
	m.now, m.since = clock.Now, clock.Now()
	a := open(t, &memoryKeys{}, m, &Options{now: clock.Now})
	clock.set(testNow.Add(-time.Hour))
	text, _ := issue(t, a, alice(Room), time.Minute)
	wantUse(t, a, text, nil)
	wantUse(t, a, text, ErrReplayed)
	if since := NewMemorySpender().Since(); since != since.Round(0) {
		t.Errorf("since %v has a monotonic reading: the clock that is set back would not be seen", since)
	}
}

// TestMemorySpenderForgets: what has expired, and nothing else.
func TestMemorySpenderForgets(t *testing.T) {
	clock := &clock{now: testNow}
	m := NewMemorySpender().(*memorySpender)
	m.now, m.max = clock.Now, 4
	spend := func(id string, keep time.Duration, want error) {
		t.Helper()
		if got := m.Spend(t.Context(), id, testNow.Add(keep)); !errors.Is(got, want) {
			t.Errorf("spend %s: got %v, want %v", id, got, want)
		}
	}
	for i, seconds := range []int{3, 1, 4, 2} {
		spend(fmt.Sprint(seconds), time.Duration(seconds)*time.Second, nil)
		if want := i + 1; len(m.ids) != want || len(m.queue) != want {
			t.Errorf("%d ids, %d in the queue, want %d", len(m.ids), len(m.queue), want)
		}
	}
	spend("5", 5*time.Second, ErrBusy)
	spend("1", 5*time.Second, ErrReplayed)
	clock.set(testNow.Add(time.Second))
	spend("5", 5*time.Second, nil)
	spend("6", 6*time.Second, ErrBusy)
	for _, id := range []string{"2", "3", "4", "5"} {
		spend(id, time.Minute, ErrReplayed)
	}
	clock.set(testNow.Add(time.Minute))
	spend("1", 2*time.Minute, nil)
	if len(m.ids) != 1 || len(m.queue) != 1 {
		t.Errorf("%d ids, %d in the queue, want 1", len(m.ids), len(m.queue))
	}
}

// brokenSpender cannot say.
type brokenSpender struct{ everything }

var errBroken = errors.New("no answer")

func (brokenSpender) Spend(context.Context, string, time.Time) error { return errBroken }
func (brokenSpender) Spent(context.Context, string) (bool, error)    { return false, errBroken }

// TestSpenderFails: that is neither a yes, nor the fault of the token.
func TestSpenderFails(t *testing.T) {
	a := open(t, &memoryKeys{}, brokenSpender{}, nil)
	text, c := issue(t, a, alice(Room), time.Minute)
	wantUse(t, a, text, errBroken)
	wantUnspent(t, a, c, errBroken)
	if err := use(t, a, text); errors.Is(err, ErrInvalid) {
		t.Errorf("use: got %v, want it not to be an %v", err, ErrInvalid)
	}
}

func BenchmarkMemorySpender(b *testing.B) {
	m := NewMemorySpender().(*memorySpender)
	start := time.Now()
	at := 0
	m.now = func() time.Time { return start.Add(time.Duration(at) * time.Millisecond) }
	b.ReportAllocs()
	for b.Loop() {
		at++
		if err := m.Spend(b.Context(), newID(start), m.now().Add(MaxLifetime)); err != nil {
			b.Fatal(err)
		}
	}
}
