package limit

import (
	"context"
	"errors"
	"net/netip"
	"sync"
)

// ErrFull is the error of a caller that gave up its place to one with a better claim to it.
var ErrFull = errors.New("too many are waiting")

// Standing says what is known of a client before its password has been checked.
type Standing int

const (
	// Good: this user has signed in from this address group and has not failed there since.
	Good Standing = iota
	// Neutral: nothing is known against the address group.
	Neutral
	// Poor: the address group has failures that are still remembered.
	Poor

	standings = 3
)

// weights is how many turns each standing gets while callers of all three are waiting.
var weights = [standings]int{Good: 4, Neutral: 2, Poor: 1}

// Client is who asks for a turn.
type Client struct {
	Addr     netip.Addr
	Standing Standing
}

// Turns shares a bounded number of workers fairly. It is safe for concurrent use.
//
// Callers wait in one queue per address group. A free worker goes to the standings by weight,
// so none of them starves, and inside a standing to the address groups in turn: first among
// the widest (an IPv4 /24, an IPv6 /32), then among those inside it. So a flood from many
// addresses of one network counts as one client, and a flood from many networks delays a
// newcomer by one turn of each at most.
//
// When the waiting room is full, the newest caller of the largest group loses its place. Each
// standing is sure of a quarter of the places.
type Turns struct {
	maxWaiting int // set at construction

	mu      sync.Mutex
	free    int // workers
	waiting int
	queues  [standings]groupQueue
	credit  [standings]int // smooth weighted round robin
}

// NewTurns returns Turns for so many workers, and a waiting room of so many places.
func NewTurns(workers, maxWaiting int) *Turns {
	return &Turns{maxWaiting: maxWaiting, free: workers}
}

// turn is one caller that waits.
type turn struct {
	standing Standing
	place    place
	result   chan error // one place: nil when a worker is its own, ErrFull when it lost its place
}

// Acquire returns nil when the caller has a worker, which it then gives back with Release. The
// error is ErrFull or that of ctx.
func (t *Turns) Acquire(ctx context.Context, c Client) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	w := t.waitLocked(c)
	t.mu.Unlock()
	select {
	case err := <-w.result:
		return err
	case <-ctx.Done():
		return t.giveUp(w, ctx.Err())
	}
}

// Release gives a worker back.
func (t *Turns) Release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.releaseLocked()
}

// Waiting returns how many callers wait.
func (t *Turns) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting
}

func (t *Turns) waitLocked(c Client) *turn {
	w := &turn{standing: c.Standing, result: make(chan error, 1)}
	w.place = t.queues[c.Standing].push(c.Addr, w)
	t.waiting++
	if t.waiting > t.maxWaiting {
		crowded := t.crowdedLocked()
		t.endLocked(t.queues[crowded].newestOfLargest(), ErrFull)
	}
	return w
}

// crowdedLocked returns the poorest standing that has more than the quarter that is its own.
// Three quarters are less than the whole, so there is one.
func (t *Turns) crowdedLocked() Standing {
	for s := Poor; s > Good; s-- {
		if t.queues[s].size() > t.maxWaiting/4 {
			return s
		}
	}
	return Good
}

func (t *Turns) releaseLocked() {
	if t.waiting == 0 {
		t.free++
		return
	}
	t.endLocked(t.queues[t.nextStandingLocked()].next(), nil)
}

// nextStandingLocked picks among the standings that have callers waiting.
func (t *Turns) nextStandingLocked() Standing {
	best, total := Standing(-1), 0
	for s := range t.queues {
		if t.queues[s].size() == 0 {
			continue
		}
		t.credit[s] += weights[s]
		total += weights[s]
		if best < 0 || t.credit[s] > t.credit[best] {
			best = Standing(s)
		}
	}
	t.credit[best] -= total
	return best
}

func (t *Turns) endLocked(w *turn, result error) {
	t.queues[w.standing].remove(w.place)
	t.waiting--
	w.result <- result
}

// giveUp takes w out of its queue. A worker that has just become its own goes to the next.
func (t *Turns) giveUp(w *turn, reason error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case err := <-w.result:
		if err != nil {
			return err
		}
		t.releaseLocked()
	default:
		t.queues[w.standing].remove(w.place)
		t.waiting--
	}
	return reason
}
