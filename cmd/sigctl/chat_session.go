package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sigctl/sigctl/peer"
)

// lingerTime is how long the caller's line mode stays after its last text was
// received, counted from the last text that came: the other side may be sending.
const lingerTime = 250 * time.Millisecond

// conversation is what a chat needs of a *peer.Call.
type conversation interface {
	Peer() string
	Send(ctx context.Context, text string) error
	Recv(ctx context.Context) (string, error)
	Flush(ctx context.Context) error
	Hangup(ctx context.Context, reason string) error
	Plain() bool
	Stats() peer.Stats
}

// texts are what this side has to say in one conversation.
type texts interface {
	// next returns the texts; the channel is closed when there are no more.
	next() <-chan string

	// end waits until no more texts are accepted, and hands out those that nobody took.
	end(unsent func(text string))
}

// talk is one conversation: texts go from input to the other side, and what
// happens goes to emit.
type talk struct {
	// set at construction
	call   conversation
	input  texts
	emit   func(chatEvent)
	linger time.Duration // after the input's end, hang up; negative: never

	wakeFlush chan struct{} // one place: a text was sent
	heard     chan struct{} // one place: a text came

	// owned by sendAll, which comes before the rest of run
	failed  []string // the text that could not be sent
	sendErr error

	// guarded by mu
	mu              sync.Mutex
	sent, delivered int // texts
}

// undelivered is an error of a conversation that ended too early.
type undelivered struct{ texts int }

func (u undelivered) Error() string {
	if u.texts == 1 {
		return "the call ended before the last message was received"
	}
	return fmt.Sprintf("the call ended before the last %d messages were received", u.texts)
}

// run returns when the conversation has ended: nil if either side hung up and the
// other side has all that was to be said until then.
func (t *talk) run(ctx context.Context) error {
	t.wakeFlush, t.heard = make(chan struct{}, 1), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	parts.Go(func() { t.sendAll(ctx) })
	parts.Go(func() { t.flushAll(ctx) })
	err := t.recvAll(ctx)
	cancel()
	parts.Wait()
	if errors.Is(err, peer.ErrClosed) && t.sendErr != nil {
		err = t.sendErr // that is why this side hung up
	}
	missing := t.lost() + t.unsent()
	t.emit(ended{Peer: t.call.Peer(), Reason: endReason(err), Undelivered: missing})
	switch {
	case missing > 0:
		return undelivered{missing}
	case errors.Is(err, peer.ErrHangup), errors.Is(err, peer.ErrClosed):
		return nil
	}
	return err
}

// unsent emits, and counts, what was to be said in this call and was not sent. It is
// for nobody else.
func (t *talk) unsent() (n int) {
	drop := func(text string) {
		n++
		t.emit(unsent{Peer: t.call.Peer(), Text: text})
	}
	for _, text := range t.failed {
		drop(text)
	}
	t.input.end(drop)
	return n
}

// endReason is why a conversation ended, for people.
func endReason(err error) string {
	switch {
	case errors.Is(err, peer.ErrClosed):
		return "hung up"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	return oneLine(err.Error())
}

// noCallReason is why a call to name came to nothing, for people.
func noCallReason(name string, err error) string {
	if errors.Is(err, context.Canceled) {
		return "hung up"
	}
	return oneLine(strings.TrimPrefix(err.Error(), "call "+name+": "))
}

// recvAll emits what comes until the call ends, and says why it did.
func (t *talk) recvAll(ctx context.Context) error {
	for {
		text, err := t.call.Recv(ctx)
		if err != nil {
			return err
		}
		t.emit(message{From: t.call.Peer(), Text: text})
		wake(t.heard)
	}
}

// sendAll sends the input. At its end it waits for the receipts, and hangs up. It hangs
// up as well when a text cannot be sent.
func (t *talk) sendAll(ctx context.Context) {
	for {
		select {
		case text, ok := <-t.input.next():
			if !ok {
				t.finish(ctx)
				return
			}
			if err := t.call.Send(ctx, text); err != nil {
				t.failed, t.sendErr = append(t.failed, text), err
				_ = t.call.Hangup(ctx, "") // it fails if ctx ends, and so does recvAll
				return
			}
			t.mu.Lock()
			t.sent++
			t.emit(sent{N: t.sent, Text: text}) // with the lock: before the event of its receipt
			t.mu.Unlock()
			wake(t.wakeFlush)
		case <-ctx.Done():
			return
		}
	}
}

// flushAll emits what was received of what was sent.
func (t *talk) flushAll(ctx context.Context) {
	for {
		select {
		case <-t.wakeFlush:
			if t.call.Flush(ctx) != nil {
				return
			}
			t.noteDelivered(true)
		case <-ctx.Done():
			return
		}
	}
}

// noteDelivered updates how many texts the other side has; flushed says that it
// has all of them, which is all that is known of a plain page.
func (t *talk) noteDelivered(flushed bool) {
	n := int(t.call.Stats().TextsAcknowledged)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.call.Plain() {
		n = t.delivered
		if flushed {
			n = t.sent
		}
	}
	if n = min(n, t.sent); n > t.delivered {
		t.delivered = n
		t.emit(delivered{N: n})
	}
}

// lost returns how many of the texts sent the other side may not have.
func (t *talk) lost() int {
	t.noteDelivered(false)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent - t.delivered
}

// finish hangs up when all that was sent is received and the other side has said
// nothing for the linger time.
func (t *talk) finish(ctx context.Context) {
	if t.linger < 0 || t.call.Flush(ctx) != nil { // the call has ended: run counts what is missing
		return
	}
	t.noteDelivered(true)
	quiet := time.NewTimer(t.linger)
	defer quiet.Stop()
	for {
		select {
		case <-t.heard:
			quiet.Reset(t.linger)
		case <-quiet.C:
			_ = t.call.Hangup(ctx, "")
			return
		case <-ctx.Done():
			return
		}
	}
}

// wake puts a token into a channel with one place.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// describe is the event of a call that has come about.
func describe(call *peer.Call) connected {
	path := call.Path()
	e := connected{
		Peer:     call.Peer(),
		Path:     path.Kind(),
		Pair:     path.Local.Type + " to " + path.Remote.Type,
		Safety:   call.SafetyCode(),
		Receipts: path.Receipts,
	}
	if steps := call.Timeline(); len(steps) > 0 {
		e.Took = steps[len(steps)-1].At.Milliseconds()
	}
	return e
}
