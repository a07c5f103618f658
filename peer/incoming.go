package peer

import (
	"slices"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// An offer costs its sender one message. It costs this side sockets, perhaps an
// allocation at the relay, and messages out of its own allowance at the server. So a
// call has no place among Config.MaxCalls before it has connected, each caller has one
// call that has not, and whoever makes calls that never connect has to slow down.

const (
	maxUnanswered = 4   // incoming calls that have not connected, or wait for Accept
	maxClosing    = 4   // of those that have ended, and are only being closed
	maxCallers    = 256 // remembered
)

var (
	// retryRate is that of a caller's calls after one that never connected.
	retryRate = limit.Rate{PerSecond: 0.5, Burst: 3}

	// refusalRate is how often a caller is told that this side is busy. Beyond, its
	// offers are dropped.
	refusalRate = limit.Rate{PerSecond: 1, Burst: 5}
)

// caller is what is remembered of somebody who calls.
type caller struct {
	failed   bool // the last call that this side answered never connected
	retries  limit.Bucket
	refusals limit.Bucket
}

// callers are those that called lately, by name.
type callers struct {
	recent *simplelru.LRU[string, *caller]
}

func newCallers() callers {
	recent, _ := simplelru.NewLRU[string, *caller](maxCallers, nil) // the size is positive
	return callers{recent}
}

func (cs callers) get(name string) *caller {
	if known, ok := cs.recent.Get(name); ok {
		return known
	}
	fresh := &caller{}
	cs.recent.Add(name, fresh)
	return fresh
}

// startIncomingLocked starts a call for an offer, unless there is no room for it.
func (c *Client) startIncomingLocked(m protocol.Offer) bool {
	if c.calls.closed || c.fullLocked() || !c.makeRoomLocked(m.Name) {
		return false
	}
	call := newCall(c, callKey{m.Name, m.Call})
	call.held = &m
	c.calls.incoming = append(c.calls.incoming, call)
	c.calls.notifyLocked()
	c.startLocked(call)
	if c.calls.accepting > 0 {
		call.askLocked()
	}
	return true
}

// askLocked has the call answered, now that an Accept waits.
func (call *Call) askLocked() {
	call.asked = true
	call.post(call.answerHeld)
}

// makeRoomLocked makes room for a call of name. An older one of the same caller gives
// way; where all the room is taken, the one does that has had the longest time to
// connect. It reports false if all of them wait for this side, and if name has made
// too many calls that never connected.
func (c *Client) makeRoomLocked(name string) bool {
	who := c.calls.callers.get(name)
	if who.failed && who.retries.Take(time.Now(), retryRate, 1) > 0 {
		return false
	}
	var live []*Call
	for _, call := range c.calls.incoming {
		if call.ctx.Err() == nil {
			live = append(live, call)
		}
	}
	if len(c.calls.incoming)-len(live) >= maxClosing {
		return false
	}
	gives := slices.IndexFunc(live, func(call *Call) bool { return !call.connected && call.key.peer == name })
	if gives < 0 && len(live) < maxUnanswered {
		return true
	}
	if gives < 0 {
		gives = slices.IndexFunc(live, func(call *Call) bool { return !call.connected && call.asked })
	}
	if gives < 0 {
		return false
	}
	c.failedLocked(live[gives])
	live[gives].stop(ending{ErrBusy, protocol.ReasonBusy})
	return true
}

// failedLocked remembers that a call never connected, unless this side let it wait.
func (c *Client) failedLocked(call *Call) {
	if !call.outgoing && call.asked && !call.connected {
		c.calls.callers.get(call.key.peer).failed = true
	}
}

// connected takes note that a call has connected, and gives an incoming one its place
// among Config.MaxCalls. It reports false if there is none left.
func (c *Client) connected(call *Call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call.outgoing {
		return true
	}
	full := c.fullLocked()
	call.connected = true
	c.calls.callers.get(call.key.peer).failed = false
	if full {
		call.stop(ending{ErrBusy, protocol.ReasonBusy})
	}
	return !full
}

// fullLocked reports whether there are as many calls as Config.MaxCalls allows. An
// incoming call counts once it has connected, and none that has ended does.
func (c *Client) fullLocked() bool {
	if c.cfg.MaxCalls <= 0 {
		return false
	}
	n := 0
	for _, call := range c.calls.byKey {
		if call.ctx.Err() == nil && (call.outgoing || call.connected) {
			n++
		}
	}
	return n >= c.cfg.MaxCalls
}

// refuse tells the sender of an offer that this side is busy, unless it was told so
// again and again.
func (c *Client) refuse(m protocol.Offer) {
	c.mu.Lock()
	wait := c.calls.callers.get(m.Name).refusals.Take(time.Now(), refusalRate, 1)
	c.mu.Unlock()
	if wait > 0 {
		return
	}
	reject := protocol.Reject{Name: m.Name, Call: m.Call, Reason: protocol.ReasonBusy}
	if err := c.socket.send("", reject); err != nil {
		c.log.Debug("busy was not said", "error", err)
	}
}
