package limit

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// firstDelay is the delay after the last free failure. Every further failure doubles it.
const firstDelay = time.Second

// ThrottleOptions configures a Throttle. Zero fields mean the defaults.
type ThrottleOptions struct {
	// Free is how many failures have no delay, default 10. It is also how many attempts of an address group are under
	// way at once, at most, before others of that group wait for their turn.
	Free int
	// MaxDelay ends the doubling of delays, which begins at 1 s, default 15 min.
	MaxDelay time.Duration
	// Forget is how long after the last failure all are forgotten, default 1 h.
	Forget time.Duration
	// Size is how many entries each of the four tables (address groups, users, and users at address groups, known and
	// not) has at most, default 65536. An entry takes about 130 bytes.
	Size int
}

func (o ThrottleOptions) withDefaults() ThrottleOptions {
	if o.Free <= 0 {
		o.Free = 10
	}
	if o.MaxDelay <= 0 {
		o.MaxDelay = 15 * time.Minute
	}
	if o.Forget <= 0 {
		o.Forget = time.Hour
	}
	if o.Size <= 0 {
		o.Size = 1 << 16
	}
	return o
}

// delay is how long to wait after the last of so many failures.
func (o ThrottleOptions) delay(failures int) time.Duration {
	if failures < o.Free {
		return 0
	}
	return min(firstDelay<<min(failures-o.Free, 30), o.MaxDelay)
}

// Throttle slows down guessing of passwords. It is safe for concurrent use.
//
// It counts failures per address group and per user name, whether there is such a user or not. After the free ones
// each doubles the delay until the next attempt: by default an address has 22 passwords checked in an hour, and then 4
// an hour, however many it sends.
//
//   - An address group without failures is never delayed, whatever happens to a name elsewhere. So nobody can lock a
//     user out by guessing.
//   - One with failures waits for the longer of its own delay and the name's. So a thousand addresses that guess at one
//     name are slowed down together, from the second guess of each.
//   - A user who has signed in from an address group is known there: then only that user's own failures there count,
//     neither those of others behind the same address nor those elsewhere.
//   - A success takes back the failures of this user at this address group, and those alone: who mistyped leaves no
//     trace that would add up for a whole office, and who owns an account cannot clear the way to others'.
//   - An attempt under way counts as a failure until it is decided: those above the allowance wait for that.
//
// What it leaves to an attacker: Free guesses at each name per success of that user at the same address group, and one
// guess per address group, however many failures the name has. To have its failures forgotten before their time an
// attacker needs Size others after them, from as many address groups; every one of them has cost the check of a
// password, which, at 50 a second and the default Size, takes 22 minutes.
type Throttle struct {
	// set at construction
	opts ThrottleOptions

	// guarded by mu
	mu        sync.Mutex
	addresses *table // by address group
	users     *table // by name
	pairs     *table // by both: how much of the two above a success takes back
	known     *table // by both: where users have succeeded, and their own failures there since
	waiting   int
}

// maxWaiting bounds the attempts that wait for others. It is above what a server takes on before logins.
const maxWaiting = 1 << 16

// NewThrottle returns a Throttle. nil options mean the defaults.
func NewThrottle(opts *ThrottleOptions) *Throttle {
	if opts == nil {
		opts = &ThrottleOptions{}
	}
	o := opts.withDefaults()
	return &Throttle{opts: o, addresses: newTable(o), users: newTable(o), pairs: newTable(o), known: newTable(o)}
}

// Wait is the error of an attempt that came too early. Nothing was counted.
type Wait struct{ After time.Duration }

func (w Wait) Error() string {
	return fmt.Sprintf("too many failed logins, try again in %d s", w.Seconds())
}

// Seconds is the wait in whole seconds, rounded up: what retryAfter and Retry-After say.
func (w Wait) Seconds() int { return int((w.After + time.Second - 1) / time.Second) }

// Begin begins an attempt to sign in as user from an address. Exactly when its error is nil the password is to be
// checked, and the Attempt told how that went.
//
// The error is a Wait while a delay lasts, or ctx's if that ends while attempts under way take the allowance. A user
// that is not a valid name (empty if not known yet) is not counted, the address is.
func (t *Throttle) Begin(ctx context.Context, user string, from netip.Addr) (*Attempt, error) {
	if !protocol.ValidName(user) {
		user = ""
	}
	group := Group(from)
	a := &Attempt{
		throttle: t, from: from,
		user: subject{user: user}, address: subject{group: group}, pair: subject{user, group},
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var left *gate
	for {
		after, full := t.judgeLocked(a, time.Now())
		if left != nil && left != full {
			left.callNext()
		}
		switch {
		case after > 0:
			return nil, Wait{after}
		case full == nil:
			t.startLocked(a)
			return a, nil
		case t.waiting >= maxWaiting:
			return nil, Wait{firstDelay}
		}
		if err := t.waitLocked(ctx, full); err != nil {
			return nil, err
		}
		left = full
	}
}

// judgeLocked returns how long a is delayed, or the gate at which it has to wait, or neither.
func (t *Throttle) judgeLocked(a *Attempt, now time.Time) (time.Duration, *gate) {
	if t.known.has(a.pair) {
		own := t.known.at(a.pair, now)
		return own.delay, own.ifFull()
	}
	address, user := t.addresses.at(a.address, now), state{}
	if a.user.user != "" {
		user = t.users.at(a.user, now)
	}
	if address.failures > 0 {
		if after := max(address.delay, user.delay); after > 0 {
			return after, nil
		}
	}
	clean := address.failures+address.underWay == 0
	switch {
	case address.full:
		return 0, address.gate
	case clean:
		return 0, nil
	case user.delay > 0: // clean, and will not be if one of those under way fails
		return 0, address.gate
	}
	return 0, user.ifFull()
}

func (t *Throttle) startLocked(a *Attempt) {
	a.standing = t.standingLocked(a, time.Now())
	if t.known.has(a.pair) {
		a.gates[0] = t.known.enter(a.pair)
		return
	}
	a.gates[0] = t.addresses.enter(a.address)
	if a.user.user != "" {
		a.gates[1] = t.users.enter(a.user)
	}
}

func (t *Throttle) standingLocked(a *Attempt, now time.Time) Standing {
	switch {
	case t.known.has(a.pair) && t.known.at(a.pair, now).failures == 0:
		return Good
	case t.addresses.at(a.address, now).failures == 0:
		return Neutral
	}
	return Poor
}

// waitLocked returns when it is the caller's turn to look at g again, or ctx has ended. The lock is not held meanwhile.
func (t *Throttle) waitLocked(ctx context.Context, g *gate) error {
	turn := g.queue()
	t.waiting++
	t.mu.Unlock()
	select {
	case <-turn.Value.(chan struct{}):
	case <-ctx.Done():
	}
	t.mu.Lock()
	t.waiting--
	if ctx.Err() == nil {
		return nil
	}
	g.giveUp(turn)
	return ctx.Err()
}
