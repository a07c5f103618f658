package stream

import (
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
)

// maxGroups bounds the addresses whose rate is remembered; see limit.Buckets for what happens beyond.
const maxGroups = 1 << 14

// admission knows the open connections, and bounds those without an allocation.
type admission struct {
	pending *limit.Pending               // set at construction
	begun   *limit.Buckets[netip.Prefix] // connections, whatever becomes of them
	closing chan struct{}                // closed by shut
	running sync.WaitGroup

	mu      sync.Mutex
	conns   map[*Conn]struct{}
	refused map[Reason]uint64
	closed  bool
}

func (a *admission) init(pending *limit.Pending, limits *Limits) {
	a.pending = pending
	if pending == nil {
		a.pending = NewPending(0, nil)
	}
	a.begun = limit.NewBuckets[netip.Prefix](limits.ConnsPerAddress, maxGroups)
	a.closing = make(chan struct{})
	a.conns, a.refused = map[*Conn]struct{}{}, map[Reason]uint64{}
	for _, reason := range reasons() {
		a.refused[reason] = 0
	}
}

// enter registers a connection from addr and acquires its slot, or reports that there is none. An invalid
// addr is that of a proxy, which has yet to say for whom it speaks.
func (a *admission) enter(c *Conn, addr netip.Addr) bool {
	slot, why := a.pending.Acquire(addr, a.mayBegin, c.evict)
	a.mu.Lock()
	defer a.mu.Unlock()
	if why != limit.None {
		a.refused[Reason(why.String())]++
		return false
	}
	if a.closed {
		slot.Release()
		return false
	}
	c.slot = slot
	a.conns[c] = struct{}{}
	a.running.Add(1)
	return true
}

func (a *admission) mayBegin(addr netip.Addr) bool { return a.begun.Take(limit.Group(addr), 1) == 0 }

// move counts a proxy's connection at its client's address, or says why it is refused there.
func (a *admission) move(c *Conn, client netip.Addr) error {
	if why := c.slot.Move(client); why != limit.None {
		return refuse(Reason(why.String()), "no slot at the address of the proxy's client")
	}
	return nil
}

// recount gives the slot back when there is an allocation, and acquires another when there is none any
// more, for a connection that counts at addr.
func (a *admission) recount(c *Conn, addr netip.Addr) {
	if c.deadline.isKept() {
		a.swap(c, nil).Prove()
		return
	}
	a.swap(c, a.pending.Reacquire(addr, c.evict)).Release()
}

// swap makes slot that of c and returns the former one; slot itself, if c needs none.
func (a *admission) swap(c *Conn, slot *limit.Slot) (former *limit.Slot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, open := a.conns[c]; slot != nil && (!open || c.deadline.isKept()) {
		return slot
	}
	former, c.slot = c.slot, slot
	return former
}

// leave gives everything back, and is the last that a connection does.
func (a *admission) leave(c *Conn, cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.conns, c)
	c.slot.Release()
	c.slot = nil
	if reason, refused := reasonOf(cause); refused {
		a.refused[reason]++
	}
	a.running.Done()
}

// shut lets no more connections in and returns those that are open.
func (a *admission) shut() []*Conn {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.closed = true
		close(a.closing)
	}
	open := make([]*Conn, 0, len(a.conns))
	for c := range a.conns {
		open = append(open, c)
	}
	return open
}

// wait returns after d, or at Close.
func (a *admission) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.closing:
	}
}

// Open returns how many connections there are.
func (a *Acceptor) Open() int {
	a.init()
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.conns)
}

// Refused returns how many connections this side has refused or ended, for each reason.
func (a *Acceptor) Refused() map[Reason]uint64 {
	a.init()
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.refused)
}
