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
	stuck bool  // Send waits until the call ends
	fails error // of Send
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
	if f.stuck {
		<-f.over
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.why != nil {
		return f.why
	}
	if f.fails != nil {
		return f.fails
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

// fakeInput has its lines ready.
type fakeInput chan string

// input is one that ends after its lines.
func input(lines ...string) fakeInput {
	c := openInput(lines...)
	close(c)
	return c
}

// openInput is one with more to come.
func openInput(lines ...string) fakeInput {
	c := make(fakeInput, len(lines)+1)
	for _, line := range lines {
		c <- line
	}
	return c
}

func (c fakeInput) next() <-chan string { return c }

func (c fakeInput) end(unsent func(string)) {
	for {
		select {
		case text, ok := <-c:
			if !ok {
				return
			}
			unsent(text)
		default:
			return
		}
	}
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
		err := (&talk{call: call, input: openInput(), emit: r.emit, linger: -1}).run(ctx)
		if !errors.Is(err, context.Canceled) || exitCode(err) != exitInterrupted {
			t.Errorf("run: %v, exit code %d", err, exitCode(err))
		}
	})
}

// Whatever ends a call: a text that is being sent, those behind it and those that come
// until then are reported, in their order, and none is left for another call.
func TestTalkEndsWithInputPending(t *testing.T) {
	for _, why := range []error{
		peer.ErrHangup, peer.ErrClosed, peer.ErrLost, peer.ErrProtocol, peer.ErrKicked, peer.ErrBusy,
		peer.ErrRejected, peer.ErrTimeout,
	} {
		for _, in := range []fakeInput{input("a", "b", "c"), openInput("a", "b", "c")} {
			synctest.Test(t, func(t *testing.T) {
				call, r := newFakeCall(-1), &recorder{}
				call.stuck = true
				go func() {
					synctest.Wait() // until the first text waits in Send
					call.mu.Lock()
					defer call.mu.Unlock()
					call.end(why)
				}()
				err := (&talk{call: call, input: in, emit: r.emit, linger: lingerTime}).run(t.Context())
				r.wantUnsent(t, why.Error(), "a", "b", "c")
				if err != error(undelivered{3}) {
					t.Errorf("%v: run returned %v, want %v", why, err, undelivered{3})
				}
			})
		}
	}
}

// A text that cannot be sent ends the call, although the other side is still there.
func TestTalkEndsWhenSendFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call, r := newFakeCall(-1), &recorder{}
		call.fails = errors.New("the path is blocked")
		err := (&talk{call: call, input: openInput("a", "b"), emit: r.emit, linger: -1}).run(t.Context())
		r.wantUnsent(t, "the path is blocked", "a", "b")
		if err != error(undelivered{2}) {
			t.Errorf("run returned %v, want %v", err, undelivered{2})
		}
	})
}

// wantUnsent checks which texts were reported as not sent, and the event of the end.
func (r *recorder) wantUnsent(t *testing.T, reason string, texts ...string) {
	t.Helper()
	var got []string
	for _, e := range r.events {
		if e, ok := e.(unsent); ok {
			got = append(got, e.Text)
		}
	}
	if diff := cmp.Diff(texts, got); diff != "" {
		t.Errorf("%s: not sent (-want +got):\n%s", reason, diff)
	}
	last, ok := r.events[len(r.events)-1].(ended)
	if !ok || last.Undelivered != len(texts) || last.Reason != reason && reason != peer.ErrClosed.Error() {
		t.Errorf("%s: the last event is %#v, want %d undelivered", reason, last, len(texts))
	}
}
