package peer

import (
	"context"
	"fmt"
	"slices"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// Call calls name and returns when both can chat. If name calls at the same moment
// the two calls become one. Without an earlier end of ctx it takes 30 s at most.
//
// The error is or wraps [ErrOffline], [ErrBusy], [ErrRejected], [ErrTimeout],
// [ErrLost], [ErrClosed], or the end of ctx.
func (c *Client) Call(ctx context.Context, name string) (*Call, error) {
	call, err := c.callOut(name)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", printable(name), err)
	}
	select {
	case <-call.established:
		return call, nil
	case <-call.finished:
		return nil, fmt.Errorf("call %s: %w", name, call.Err())
	case <-ctx.Done():
		call.stop(hungUp)
		<-call.finished
		return nil, fmt.Errorf("call %s: %w", name, ctx.Err())
	}
}

func (c *Client) callOut(name string) (*Call, error) {
	if !protocol.ValidName(name) {
		return nil, fmt.Errorf("a name is 1 to %d letters, digits or . _ @ + -", protocol.MaxNameLen)
	}
	if name == c.cfg.User {
		return nil, fmt.Errorf("%w: this is your own name", ErrRejected)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ctx.Err() != nil:
		return nil, c.Err()
	case c.calls.closed:
		return nil, ErrClosed
	case c.calls.offeringTo(name) != nil:
		return nil, fmt.Errorf("%w: it is being called already", ErrBusy)
	}
	call := newCall(c, callKey{name, protocol.NewCallID()})
	call.outgoing, call.offering = true, true
	c.startLocked(call)
	call.post(call.offer)
	return call, nil
}

// Accept waits for a call, answers it and returns when both can chat. Calls are
// answered only while an Accept waits; until then at most four are kept, for as
// long as their callers care to wait, and more are told that this side is busy. Of
// each caller one call is kept that has not connected, the latest. Once four were
// answered and have not connected, the oldest of them makes room for the next. A call
// that comes to nothing is not reported.
//
// The error is [ErrClosed], an [ErrLost] or the end of ctx.
func (c *Client) Accept(ctx context.Context) (*Call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls.accepting++
	defer func() { c.calls.accepting-- }()
	for _, call := range c.calls.incoming {
		call.askLocked()
	}
	for {
		if call := c.takeIncomingLocked(); call != nil {
			return call, nil
		}
		changed := c.calls.changed
		c.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = ctx.Err()
		case <-c.ctx.Done():
			err = c.Err()
		}
		c.mu.Lock()
		if err == nil && c.calls.closed {
			err = ErrClosed
		}
		if err != nil {
			return nil, fmt.Errorf("accept: %w", err)
		}
	}
}

// takeIncomingLocked returns the first incoming call that is established.
func (c *Client) takeIncomingLocked() *Call {
	for i, call := range c.calls.incoming {
		if isClosed(call.established) && call.ctx.Err() == nil {
			c.calls.incoming = slices.Delete(c.calls.incoming, i, i+1)
			return call
		}
	}
	return nil
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
