package main

import (
	"context"
	"errors"
	"fmt"
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

// talk is one conversation: texts go from input to the other side, and what
// happens goes to emit.
type talk struct {
	// set at construction
	call   conversation
	input  <-chan string // closed: no more to say
	emit   func(chatEvent)
	linger time.Duration // after the input's end, hang up; negative: never

	wakeFlush chan struct{} // one place: a text was sent
	heard     chan struct{} // one place: a text came

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

// run returns when the conversation has ended: nil if either side hung up and
// the other one has all that was sent.
func (t *talk) run(ctx context.Context) error {
	t.wakeFlush, t.heard = make(chan struct{}, 1), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	var sendErr error
	parts.Go(func() { sendErr = t.sendAll(ctx) })
	parts.Go(func() { t.flushAll(ctx) })
	err := t.recvAll(ctx)
	cancel()
	parts.Wait()
	lost := t.lost()
	var unsent undelivered
	if errors.As(sendErr, &unsent) {
		lost += unsent.texts
	}
	t.emit(ended{Peer: t.call.Peer(), Reason: endReason(err), Undelivered: lost})
	switch {
	case lost > 0:
		return undelivered{lost}
	case errors.Is(err, peer.ErrHangup), errors.Is(err, peer.ErrClosed):
		return nil
	}
	return err
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

// sendAll sends the input. At its end it waits for the receipts, and hangs up.
func (t *talk) sendAll(ctx context.Context) error {
	for {
		select {
		case text, ok := <-t.input:
			if !ok {
				return t.finish(ctx)
			}
			if err := t.call.Send(ctx, text); err != nil {
				return undelivered{1}
			}
			t.mu.Lock()
			t.sent++
			t.emit(sent{N: t.sent, Text: text}) // with the lock: before the event of its receipt
			t.mu.Unlock()
			wake(t.wakeFlush)
		case <-ctx.Done():
			return nil
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
func (t *talk) finish(ctx context.Context) error {
	if t.linger < 0 {
		return nil
	}
	if t.call.Flush(ctx) != nil {
		return nil // the call has ended: run counts what is missing
	}
	t.noteDelivered(true)
	quiet := time.NewTimer(t.linger)
	defer quiet.Stop()
	for {
		select {
		case <-t.heard:
			quiet.Reset(t.linger)
		case <-quiet.C:
			return t.call.Hangup(ctx, "")
		case <-ctx.Done():
			return nil
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
