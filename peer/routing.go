package peer

import (
	"slices"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// callKey names a call: the other party, and the id, which is "" for a party that
// speaks the plain form of the protocol.
type callKey struct{ peer, id string }

// callTable says which call a message belongs to. It is guarded by Client.mu.
type callTable struct {
	byKey     map[callKey]*Call
	incoming  []*Call // not yet taken by Accept, in the order in which they came
	callers   callers
	accepting int           // how many Accepts wait
	changed   chan struct{} // closed, and made anew, when incoming changes
	closed    bool          // no more calls
}

func newCallTable() callTable {
	return callTable{byKey: map[callKey]*Call{}, callers: newCallers(), changed: make(chan struct{})}
}

func (t *callTable) notifyLocked() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// offeringTo returns our call to peer whose offer is unanswered.
func (t *callTable) offeringTo(peer string) *Call {
	for key, call := range t.byKey {
		if key.peer == peer && call.offering {
			return call
		}
	}
	return nil
}

// move gives a call another key. A call that had it is over: a plain party holds
// one call at a time.
func (t *callTable) move(call *Call, to callKey) {
	if old := t.byKey[to]; old != nil && old != call {
		old.stop(ending{err: ErrHangup})
	}
	delete(t.byKey, call.key)
	call.key = to
	t.byKey[to] = call
}

// startLocked enters a call into the table and runs it.
func (c *Client) startLocked(call *Call) {
	c.calls.byKey[call.key] = call
	c.running.Go(call.run)
}

// forget takes an ended call out of the table.
func (c *Client) forget(call *Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failedLocked(call)
	if c.calls.byKey[call.key] == call {
		delete(c.calls.byKey, call.key)
	}
	if i := slices.Index(c.calls.incoming, call); i >= 0 {
		c.calls.incoming = slices.Delete(c.calls.incoming, i, i+1)
	}
	c.calls.notifyLocked()
}

// callsChanged wakes the Accepts that wait.
func (c *Client) callsChanged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls.notifyLocked()
}

// allCalls returns the calls there are; with last there will be no more.
func (c *Client) allCalls(last bool) []*Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last {
		c.calls.closed = true
		c.calls.notifyLocked()
	}
	all := make([]*Call, 0, len(c.calls.byKey))
	for _, call := range c.calls.byKey {
		all = append(all, call)
	}
	return all
}

// findCall returns the call that a message is about, or nil. What comes without an
// id while our offer is unanswered is about that offer: a plain page answers so.
func (c *Client) findCall(peer, id string) *Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id == "" {
		if call := c.calls.offeringTo(peer); call != nil {
			return call
		}
	}
	return c.calls.byKey[callKey{peer, id}]
}

// findRef returns the call that a message of ours with this id was about.
func (c *Client) findRef(ref string) *Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.calls.byKey {
		if call.ref == ref {
			return call
		}
	}
	return nil
}

// takeOffer starts, joins or renegotiates a call, or refuses it.
func (c *Client) takeOffer(m protocol.Offer) {
	if !c.routeOffer(m) {
		c.refuse(m)
	}
}

// routeOffer decides what an offer is: a new call, one that crosses ours, or a
// renegotiation. It reports false if there is no room for another call.
func (c *Client) routeOffer(m protocol.Offer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ours, known := c.calls.offeringTo(m.Name), c.calls.byKey[callKey{m.Name, m.Call}]
	switch {
	case known != nil && known != ours && known.ctx.Err() == nil:
		known.deliver(m)
	case ours != nil && ours.holdsAgainst(m):
		c.log.Debug("calls crossed, ours stays", "peer", m.Name)
	case ours != nil:
		c.log.Debug("calls crossed, theirs stays", "peer", m.Name)
		ours.offering = false
		c.calls.move(ours, callKey{m.Name, m.Call})
		ours.post(func() { ours.startOver(m) })
	default:
		return c.startIncomingLocked(m)
	}
	return true
}

// holdsAgainst reports whether our unanswered offer stays when theirs crosses it:
// the lesser id does, or with equal ids the lesser user name. An offer without an
// id always yields.
func (call *Call) holdsAgainst(theirs protocol.Offer) bool {
	switch {
	case theirs.Call == "" || call.key.id < theirs.Call:
		return true
	case call.key.id > theirs.Call:
		return false
	}
	return call.client.cfg.User < theirs.Name
}

// takeAnswer ends the time in which another's offer can cross ours.
func (c *Client) takeAnswer(m protocol.Answer) {
	call := c.findCall(m.Name, m.Call)
	if call == nil {
		return
	}
	c.mu.Lock()
	call.offering = false
	if m.Call == "" {
		c.calls.move(call, callKey{m.Name, ""})
	}
	c.mu.Unlock()
	call.deliver(m)
}

// takeLeave hangs up one call or, without an id, all calls with the party.
func (c *Client) takeLeave(m protocol.Leave) {
	for _, call := range c.allCalls(false) {
		if key := call.routingKey(); key.peer == m.Name && (m.Call == "" || m.Call == key.id) {
			call.deliver(m)
		}
	}
}

func (call *Call) routingKey() callKey {
	call.client.mu.Lock()
	defer call.client.mu.Unlock()
	return call.key
}
