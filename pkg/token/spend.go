package token

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Spender remembers which room tokens were used. All methods are safe for
// concurrent use.
type Spender interface {
	// Spend notes that the token of this id is used, and remembers it at least
	// until the time given. ErrReplayed if it was used before; of many that come
	// at once, one gets nil. After any other error it may be noted or not.
	Spend(ctx context.Context, id string, until time.Time) error
	// Spent reports whether the token of this id was used.
	Spent(ctx context.Context, id string) (bool, error)
	// Since is the time of which the memory begins: what was used earlier may be
	// unknown. Zero if it knows all.
	Since() time.Time
}

// ErrBusy means that a MemorySpender is full. Try again later.
var ErrBusy = errors.New("too many tokens were used in the last minutes")

// maxSpent is some 120 MB, and a thousand logins a second with tokens of a
// quarter of an hour.
const maxSpent = 1 << 20

// NewMemorySpender returns a Spender for one process that runs alone. It knows
// what happened since this call. It remembers a million tokens; when that many
// have not expired, Spend returns ErrBusy rather than forget one.
func NewMemorySpender() Spender {
	// Without its monotonic reading: tokens have none, and a clock that is set
	// back must not come between the two.
	return &memorySpender{since: time.Now().Round(0), max: maxSpent, now: time.Now, ids: map[string]struct{}{}}
}

type memorySpender struct {
	// set at construction
	since time.Time
	max   int
	now   func() time.Time

	mu    sync.Mutex
	ids   map[string]struct{} // guarded by mu, as is:
	queue spentQueue          // the same ids, the first to expire first
}

func (m *memorySpender) Spend(ctx context.Context, id string, until time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for now := m.now(); len(m.queue) > 0 && !now.Before(m.queue[0].until); {
		delete(m.ids, heap.Pop(&m.queue).(spent).id)
	}
	if _, ok := m.ids[id]; ok {
		return ErrReplayed
	}
	if len(m.ids) >= m.max {
		return ErrBusy
	}
	m.ids[id] = struct{}{}
	heap.Push(&m.queue, spent{until, id})
	return nil
}

func (m *memorySpender) Spent(ctx context.Context, id string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.ids[id]
	return ok, nil
}

func (m *memorySpender) Since() time.Time { return m.since }

type spent struct {
	until time.Time
	id    string
}

// spentQueue is a heap.Interface.
type spentQueue []spent

func (q spentQueue) Len() int           { return len(q) }
func (q spentQueue) Less(i, j int) bool { return q[i].until.Before(q[j].until) }
func (q spentQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *spentQueue) Push(x any)        { *q = append(*q, x.(spent)) }
func (q *spentQueue) Pop() any {
	last := (*q)[len(*q)-1]
	(*q)[len(*q)-1] = spent{} // lets go of the id
	*q = (*q)[:len(*q)-1]
	return last
}

// Spend uses up the token that Verify returned c of: ErrReplayed if it was used
// before, ErrExpired, or an error of the Spender, such as ErrBusy.
//
// An id is remembered for a Leeway longer than its token is accepted, so that
// nobody gets in between the two, not even by a clock that is behind by that.
func (a *Authority) Spend(ctx context.Context, c Claims) error {
	if now := a.now(); !now.Before(c.Expires.Add(Leeway)) {
		return timeFault(ErrExpired, c.Issued, c.Expires, now)
	}
	return spendFault(a.spent.Spend(ctx, c.ID, c.Expires.Add(2*Leeway)))
}

// Unspent is for who asks whether a token would open a session: ErrReplayed if
// it was used, or an error of the Spender.
func (a *Authority) Unspent(ctx context.Context, c Claims) error {
	used, err := a.spent.Spent(ctx, c.ID)
	if err == nil && used {
		err = ErrReplayed
	}
	return spendFault(err)
}

func spendFault(err error) error {
	if err == nil || errors.Is(err, ErrReplayed) || errors.Is(err, ErrBusy) {
		return err
	}
	return fmt.Errorf("look up whether the token was used: %w", err)
}
