package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sigctl/sigctl/peer"
)

// fakeCall is a conversation whose other side takes take texts and then hangs up;
// negative: it takes all, and never hangs up.
type fakeCall struct {
	take  int
	plain bool
	comes chan string

	mu    sync.Mutex
	texts []string
	acked int
	moved chan struct{}
	over  chan struct{}
	why   error
}

func newFakeCall(take int) *fakeCall {
	return &fakeCall{take: take, comes: make(chan string, 10), moved: make(chan struct{}, 100), over: make(chan struct{})}
}

func (f *fakeCall) Peer() string { return "user2" }
func (f *fakeCall) Plain() bool  { return f.plain }

func (f *fakeCall) end(why error) {
	if f.why == nil {
		f.why = why
		close(f.over)
	}
}

func (f *fakeCall) Send(_ context.Context, text string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.why != nil {
		return f.why
	}
	f.texts = append(f.texts, text)
	if f.take >= 0 && len(f.texts) > f.take {
		f.end(peer.ErrHangup)
		return nil
	}
	f.acked++
	return nil
}

func (f *fakeCall) Flush(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.acked < len(f.texts) {
		return f.why
	}
	return nil
}

func (f *fakeCall) Recv(ctx context.Context) (string, error) {
	select {
	case text := <-f.comes:
		return text, nil
	case <-f.over:
		return "", f.why
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (f *fakeCall) Hangup(context.Context, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end(peer.ErrClosed)
	return nil
}

func (f *fakeCall) Stats() peer.Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return peer.Stats{TextsSent: uint64(len(f.texts)), TextsAcknowledged: uint64(f.acked)}
}

// input is one whose lines are all there, and then ends.
func input(lines ...string) <-chan string {
	c := make(chan string, len(lines))
	for _, line := range lines {
		c <- line
	}
	close(c)
	return c
}

// recorder keeps the events of a talk.
type recorder struct {
	mu     sync.Mutex
	events []chatEvent
}

func (r *recorder) emit(e chatEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func TestTalkEndsWhenAllIsReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call, r := newFakeCall(-1), &recorder{}
		call.comes <- "hi"
		begin := time.Now()
		err := (&talk{call: call, input: input("a", "b"), emit: r.emit, linger: lingerTime}).run(t.Context())
		if err != nil {
			t.Fatalf("run: %v", err)
		}
		if diff := cmp.Diff([]string{"a", "b"}, call.texts); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
		if got := time.Since(begin); got != lingerTime {
			t.Errorf("hung up after %v, want %v after the last text that came", got, lingerTime)
		}
		if last := r.events[len(r.events)-1]; last != (ended{Peer: "user2", Reason: "hung up"}) {
			t.Errorf("the last event is %#v", last)
		}
		if !slices.Contains(r.events, chatEvent(delivered{N: 2})) {
			t.Errorf("no event says that 2 texts were received: %v", r.events)
		}
	})
}

func TestTalkStaysWhileTextsCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call, r := newFakeCall(-1), &recorder{}
		go func() {
			for range 10 {
				time.Sleep(lingerTime / 2) // of the bubble's clock
				call.comes <- "still here"
			}
		}()
		if err := (&talk{call: call, input: input(), emit: r.emit, linger: lingerTime}).run(t.Context()); err != nil {
			t.Fatalf("run: %v", err)
		}
		got := 0
		for _, e := range r.events {
			if _, ok := e.(message); ok {
				got++
			}
		}
		if got != 10 {
			t.Errorf("%d texts came before the hang-up, want 10", got)
		}
	})
}

func TestTalkSaysWhatWasNotReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, linger := range []time.Duration{lingerTime, -1} {
			call, r := newFakeCall(1), &recorder{}
			err := (&talk{call: call, input: input("a", "b"), emit: r.emit, linger: linger}).run(t.Context())
			if want := (undelivered{1}); err != error(want) {
				t.Errorf("run: %v, want %v", err, want)
			}
			if exitCode(err) != exitFailed {
				t.Errorf("exit code %d, want %d", exitCode(err), exitFailed)
			}
		}
	})
}

func TestTalkInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		call, r := newFakeCall(-1), &recorder{}
		go func() {
			synctest.Wait()
			cancel()
		}()
		err := (&talk{call: call, input: make(chan string), emit: r.emit, linger: -1}).run(ctx)
		if !errors.Is(err, context.Canceled) || exitCode(err) != exitInterrupted {
			t.Errorf("run: %v, exit code %d", err, exitCode(err))
		}
	})
}
