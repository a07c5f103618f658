package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

const (
	inboxSize   = protocol.MaxCallCandidate + 64 // events of a call that wait for its goroutine
	lostTimeout = 10 * time.Second               // from ICE's "disconnected" (5 s of silence) to the end
)

// Call is a connection with one other party. Its methods may be called from any
// goroutine.
//
// Each Call has a goroutine, run, that everything else sends its events to: the
// server's messages, pion's callbacks, timers, and the methods below.
type Call struct {
	// set at construction
	client      *Client
	peer        string
	ref         string // id of our messages about this call; the server's errors carry it back
	inbox       chan func()
	established chan struct{} // closed when both can chat
	finished    chan struct{} // closed when nothing of the call is left
	ctx         context.Context
	cancel      context.CancelCauseFunc // with an *ending
	timeline    *timeline
	texts       chan string  // received, not yet taken by Recv
	streams     chan *Stream // opened by the other side, not yet taken by AcceptStream
	counts      counts

	// guarded by Client.mu
	key       callKey
	outgoing  bool // this side made it
	offering  bool // our offer is unanswered
	asked     bool // incoming: an Accept waited for it, so it was answered
	connected bool // incoming: it has connected

	// owned by run; they no longer change once established is closed
	id     string          // "" for a plain party
	plain  bool            // the other side speaks the plain form of the protocol
	held   *protocol.Offer // an incoming call that nobody asked for yet
	remote remoteCandidates
	link   *link
	safety string
}

// ending is why a call is over.
type ending struct {
	err  error  // what Err returns
	tell string // the reason that the other side is told; "" if it knows
}

func (e *ending) Error() string { return e.err.Error() }

var hungUp = ending{ErrClosed, protocol.ReasonHangup}

func newCall(c *Client, key callKey) *Call {
	call := &Call{
		client:      c,
		peer:        key.peer,
		ref:         c.replies.newRef(),
		inbox:       make(chan func(), inboxSize),
		established: make(chan struct{}),
		finished:    make(chan struct{}),
		timeline:    &timeline{start: time.Now()},
		texts:       make(chan string, maxWaitingTexts),
		streams:     make(chan *Stream, maxWaitingStreams),
		counts:      newCounts(),
		key:         key,
		id:          key.id,
	}
	call.ctx, call.cancel = context.WithCancelCause(context.Background())
	return call
}

// run is the call's goroutine.
func (c *Call) run() {
	defer close(c.finished)
	timeout := time.AfterFunc(protocol.CallTimeout, func() { c.post(c.timedOut) })
	defer timeout.Stop()
	for {
		select {
		case event := <-c.inbox:
			if c.ctx.Err() == nil {
				event()
			}
		case <-c.ctx.Done():
			c.cleanUp()
			return
		}
	}
}

// post gives run something to do. It never waits: who sends more than a call can
// need ends it.
func (c *Call) post(event func()) {
	select {
	case c.inbox <- event:
	default:
		c.stop(ending{fmt.Errorf("%w: too many messages at once", ErrProtocol), protocol.ReasonHangup})
	}
}

// deliver takes a message of the other party.
func (c *Call) deliver(m protocol.Forwarded) { c.post(func() { c.receive(m) }) }

// stop ends the call; the first ending counts.
func (c *Call) stop(e ending) { c.cancel(&e) }

// fail ends the call because something that should work did not.
func (c *Call) fail(doing string, err error) {
	c.stop(ending{fmt.Errorf("%s: %w", doing, err), protocol.ReasonHangup})
}

func (c *Call) timedOut() {
	if !isClosed(c.established) {
		c.stop(ending{ErrTimeout, protocol.ReasonICETimeout})
	}
}

// signalingLost ends a call that still needs the server. One with an open path
// goes on, unless it is to end; here a resumed session will take it up again.
func (c *Call) signalingLost(err error) {
	c.post(func() {
		if !isClosed(c.established) || errors.Is(err, ErrKicked) {
			c.stop(ending{err: err})
		}
	})
}

// refused takes the server's answer to one of our messages.
func (c *Call) refused(m protocol.Error) {
	if isClosed(c.established) {
		return // the path is open, whatever the server says
	}
	c.stop(ending{err: serverError(m)})
}

func (c *Call) send(m protocol.FromClient) error { return c.client.socket.send(c.ref, m) }

// cleanUp tells the other side, closes all that the call opened and waits for it.
func (c *Call) cleanUp() {
	var e *ending
	errors.As(context.Cause(c.ctx), &e)
	c.client.log.Debug("call ended", "peer", c.peer, "reason", e)
	if e.tell != "" {
		if err := c.send(protocol.Leave{Name: c.peer, Call: c.id, Reason: e.tell}); err != nil {
			c.client.log.Debug("leave was not sent", "error", err)
		}
	}
	if c.link != nil {
		if e.tell != "" {
			c.link.sayGoodbye(e.tell)
		}
		c.link.close()
	}
	c.client.forget(c)
}

// Peer returns the other party's name.
func (c *Call) Peer() string { return c.peer }

// ID returns the call's id, or "" where the other party is a plain page, which
// knows no ids.
func (c *Call) ID() string { return c.id }

// Plain reports that the other party is a plain page: no receipts, no streams.
func (c *Call) Plain() bool { return c.plain }

// SafetyCode returns 30 digits in six groups. If two people who compare them read
// the same, nobody sits between them, the signaling server neither.
func (c *Call) SafetyCode() string { return c.safety }

// Timeline returns the steps in which the call came about.
func (c *Call) Timeline() []Step { return c.timeline.list() }

// Done is closed when the call has ended.
func (c *Call) Done() <-chan struct{} { return c.ctx.Done() }

// Err returns nil before Done is closed, then why: [ErrClosed] after Hangup or
// Close on this side, [ErrHangup] after one on the other, [ErrLost] or
// [ErrProtocol]. A channel of the chat that the other side closes ends the call, too:
// an [ErrLost], or an [ErrHangup] of a plain page.
func (c *Call) Err() error {
	var e *ending
	if !errors.As(context.Cause(c.ctx), &e) {
		return nil
	}
	return e.err
}

// Hangup ends the call and waits until nothing of it is left. What was sent and
// not yet flushed may be lost. reason is for the other side, at most 64 bytes of
// printable text; "" is a plain hang-up.
func (c *Call) Hangup(ctx context.Context, reason string) error {
	reason = printable(reason)
	if reason == "" {
		reason = protocol.ReasonHangup
	}
	c.stop(ending{ErrClosed, reason})
	select {
	case <-c.finished:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("hang up: %w", ctx.Err())
	}
}

// Close is Hangup without a reason or a context. It always returns nil.
func (c *Call) Close() error {
	return c.Hangup(context.Background(), "")
}
