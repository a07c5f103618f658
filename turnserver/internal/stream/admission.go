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

// admission counts connections: all of them from when they were accepted, and those without an allocation at their
// client's address from when that is known.
type admission struct {
	max, maxPerAddress int                          // set at construction
	begun              *limit.Buckets[netip.Prefix] // connections, whatever becomes of them
	closing            chan struct{}                // closed by shut
	running            sync.WaitGroup

	mu      sync.Mutex
	conns   map[*Conn]struct{}
	byAddr  map[netip.Prefix]int
	refused map[Reason]uint64
	closed  bool
}

// place is where a connection is counted.
type place struct {
	group   netip.Prefix
	settled bool // group is known
	counted bool // in byAddr
}

func (a *admission) init(limits *Limits) {
	a.max, a.maxPerAddress = limits.MaxConns, limits.MaxConnsPerAddress
	a.begun = limit.NewBuckets[netip.Prefix](limits.ConnsPerAddress, maxGroups)
	a.closing = make(chan struct{})
	a.conns, a.byAddr, a.refused = map[*Conn]struct{}{}, map[netip.Prefix]int{}, map[Reason]uint64{}
	for _, reason := range reasons() {
		a.refused[reason] = 0
	}
}

// enter counts a connection in, or reports that there is no room for it.
func (a *admission) enter(c *Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return false
	case len(a.conns) >= a.max:
		a.refused[TooMany]++
		return false
	}
	a.conns[c] = struct{}{}
	a.running.Add(1)
	return true
}

// settleAt counts a connection at its client's address, or says that too many are there or come from there.
func (a *admission) settleAt(c *Conn, client netip.Addr) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.place = place{group: limit.Group(client), settled: true}
	if a.byAddr[c.place.group] >= a.maxPerAddress {
		return refuse(TooManyFromAddress, "%d connections from one address have no allocation", a.maxPerAddress)
	}
	if wait := a.begun.Take(c.place.group, 1); wait > 0 {
		return refuse(TooFastFromAddress, "connections from one address begin too fast: the next one in %v", wait)
	}
	a.countLocked(c)
	return nil
}

// recount ends the counting at the client's address when there is an allocation, and begins it again when there is none:
// no connection is refused then.
func (a *admission) recount(c *Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, open := a.conns[c]; c.deadline.isKept() || !open {
		a.uncountLocked(c)
	} else {
		a.countLocked(c)
	}
}

// leave ends all counting, and is the last that a connection does.
func (a *admission) leave(c *Conn, cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.conns, c)
	a.uncountLocked(c)
	if reason, refused := reasonOf(cause); refused {
		a.refused[reason]++
	}
	a.running.Done()
}

func (a *admission) countLocked(c *Conn) {
	if c.place.settled && !c.place.counted {
		c.place.counted = true
		a.byAddr[c.place.group]++
	}
}

func (a *admission) uncountLocked(c *Conn) {
	if !c.place.counted {
		return
	}
	c.place.counted = false
	if a.byAddr[c.place.group]--; a.byAddr[c.place.group] == 0 {
		delete(a.byAddr, c.place.group)
	}
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
