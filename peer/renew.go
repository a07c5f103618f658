package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// renewPause is between two attempts at a new sign-in, unless the server says
// another time.
const renewPause = 5 * time.Second

// renewal gives a session a new token before it ends, in a goroutine that there is
// only meanwhile.
type renewal struct {
	mu      sync.Mutex
	running bool
	ends    int64 // of the session, as the server said last, Unix seconds
	fault   error // of the last attempt
}

// expiring starts a renewal. The reader calls it, so Close waits for the renewal
// as for the reader. Each end of the session is answered once.
func (c *Client) expiring(ends int64) {
	r := &c.renewal
	r.mu.Lock()
	defer r.mu.Unlock()
	if ends == r.ends {
		return
	}
	r.ends = ends
	if !r.running {
		r.running = true
		c.reader.Go(c.renewAll)
	}
}

// renewAll renews until the server has asked for nothing more.
func (c *Client) renewAll() {
	r := &c.renewal
	r.mu.Lock()
	defer r.mu.Unlock()
	for done := int64(0); done != r.ends; {
		done = r.ends
		r.mu.Unlock()
		c.renew()
		r.mu.Lock()
	}
	r.running = false
}

// renew tries until it works, is refused for good, or the session has ended.
func (c *Client) renew() {
	ctx, cancel := context.WithTimeout(c.ctx, protocol.ExpiryNotice)
	defer cancel()
	for {
		err := c.refresh(ctx)
		c.renewal.note(err)
		pause, again := retry(err)
		if err != nil {
			c.log.Info("the sign-in was not renewed", "reason", err, "again", again)
		}
		if !again || ctx.Err() != nil {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// refresh sends a new room token, which extends the session.
func (c *Client) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	token, err := c.tokens.next(ctx)
	if err != nil {
		return err
	}
	reply, err := request[protocol.LoginReply](ctx, c, protocol.Refresh{Token: token})
	switch {
	case err != nil:
		return err
	case !reply.Success:
		return loginFault(reply)
	}
	c.granted(reply)
	c.log.Debug("the sign-in was renewed", "expires", reply.Expires)
	return nil
}

// retry reports whether and when another attempt may do better.
func retry(err error) (pause time.Duration, again bool) {
	var refused *ServerError
	switch {
	case err == nil, errors.Is(err, errNoAPI):
		return 0, false
	case !errors.As(err, &refused):
		return renewPause, true
	}
	switch refused.Code {
	case protocol.CodeRateLimited, protocol.CodeBusy, protocol.CodeInternal:
		return max(renewPause, time.Duration(refused.RetryAfter)*time.Second), true
	}
	return 0, false
}

func (r *renewal) note(fault error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = fault
}

// explain adds to the end of an expired session why it was not renewed.
func (r *renewal) explain(end error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault == nil || !errors.Is(end, ErrExpired) {
		return end
	}
	return fmt.Errorf("%w: %v", end, r.fault) // its kind is not the end's kind
}
