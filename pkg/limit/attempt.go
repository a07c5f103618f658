package limit

import (
	"net/netip"
	"time"
)

// Attempt is a login under way, from Throttle.Begin. One of its methods is called, whatever happens: the first call
// counts, others do nothing, so that a deferred Undecided covers what returns early.
type Attempt struct {
	// set by Begin
	throttle            *Throttle
	from                netip.Addr
	standing            Standing
	user, address, pair subject
	gates               [2]*gate // those that it went through

	decided bool // guarded by throttle.mu
}

// Client returns who makes the attempt, for [Turns].
func (a *Attempt) Client() Client { return Client{Addr: a.from, Standing: a.standing} }

// Succeeded says that the password was right.
func (a *Attempt) Succeeded() {
	a.decide(func(t *Throttle, now time.Time) {
		if a.user.user == "" {
			return
		}
		own := t.known.at(a.pair, now).failures + t.pairs.at(a.pair, now).failures
		t.pairs.forgive(a.pair, own)
		t.users.forgive(a.user, own)
		t.addresses.forgive(a.address, own)
		t.known.set(a.pair, record{})
	})
}

// Failed says that the name or the password was wrong.
func (a *Attempt) Failed() {
	a.decide(func(t *Throttle, now time.Time) {
		t.addresses.fail(a.address, now)
		if a.user.user == "" {
			return
		}
		t.users.fail(a.user, now)
		if t.known.has(a.pair) {
			t.known.fail(a.pair, now)
		} else {
			t.pairs.fail(a.pair, now)
		}
	})
}

// Undecided says that the password could not be checked: the store is down, the server busy, the client gone. It is as
// if the attempt had not been made.
func (a *Attempt) Undecided() { a.decide(func(*Throttle, time.Time) {}) }

func (a *Attempt) decide(count func(*Throttle, time.Time)) {
	t := a.throttle
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.decided {
		return
	}
	a.decided = true
	count(t, time.Now())
	for _, g := range a.gates {
		if g != nil {
			g.leave()
		}
	}
}
