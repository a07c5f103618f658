package peer

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// replies matches the server's answers to our requests.
type replies struct {
	mu      sync.Mutex
	last    uint64
	waiting map[string]chan protocol.Event
}

// newRef returns an id that no other message of this client has.
func (r *replies) newRef() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	return strconv.FormatUint(r.last, 10)
}

func (r *replies) expect(ref string) <-chan protocol.Event {
	ch := make(chan protocol.Event, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = map[string]chan protocol.Event{}
	}
	r.waiting[ref] = ch
	return ch
}

func (r *replies) forget(ref string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, ref)
}

// deliver reports whether somebody waited for the event.
func (r *replies) deliver(ev protocol.Event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ch, ok := r.waiting[ev.Ref]
	if ok {
		delete(r.waiting, ev.Ref)
		ch <- ev // has room for the one event
	}
	return ok
}

// request sends m and returns the server's answer, which must be a T.
func request[T protocol.FromServer](ctx context.Context, c *Client, m protocol.FromClient) (T, error) {
	var none T
	ref := c.replies.newRef()
	reply := c.replies.expect(ref)
	defer c.replies.forget(ref)
	if err := c.socket.send(ref, m); err != nil {
		return none, err
	}
	select {
	case ev := <-reply:
		switch m := ev.Message.(type) {
		case T:
			return m, nil
		case protocol.Error:
			return none, serverError(m)
		}
		return none, fmt.Errorf("unexpected answer %T", ev.Message)
	case <-ctx.Done():
		return none, ctx.Err()
	case <-c.ctx.Done():
		return none, c.Err()
	}
}

const (
	iceMargin  = 30 * time.Second // left to a credential when a call starts with it
	iceTimeout = 5 * time.Second  // for the server to send fresh ones
)

// iceList holds the ICE servers that the signaling server gave, until they expire.
type iceList struct {
	mu      sync.Mutex
	servers []protocol.ICEServer
	expires time.Time // zero is never
}

func (l *iceList) set(servers []protocol.ICEServer, expires int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.servers, l.expires = servers, time.Time{}
	if expires != 0 {
		l.expires = time.Unix(expires, 0)
	}
}

func (l *iceList) get() (servers []protocol.ICEServer, fresh bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.servers, l.expires.IsZero() || time.Until(l.expires) > iceMargin
}

// iceServers returns the servers for a call that starts now. If fresh ones cannot
// be had the old ones must do: without a relay the call may still go through.
func (c *Client) iceServers(ctx context.Context) []protocol.ICEServer {
	if c.cfg.ICEServers != nil {
		return c.cfg.ICEServers
	}
	servers, fresh := c.ice.get()
	if fresh {
		return servers
	}
	ctx, cancel := context.WithTimeout(ctx, iceTimeout)
	defer cancel()
	reply, err := request[protocol.ICEServers](ctx, c, protocol.ICE{})
	if err != nil {
		c.log.Info("no fresh ICE servers", "reason", err)
		return servers
	}
	c.ice.set(reply.ICEServers, reply.ICEExpires)
	return reply.ICEServers
}
