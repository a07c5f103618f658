package limit

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
)

// pendingTable is a Pending in a bubble, and what it did to the connections that hold its slots.
type pendingTable struct {
	*Pending
	t        *testing.T
	mayBegin func(netip.Addr) bool
	evicted  map[string]Reason // by address and number
	began    int
}

// withTable runs test with a table, in a bubble, whose clock the grace of slots is measured by.
func withTable(t *testing.T, o *PendingOptions, test func(ta *pendingTable)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ta := &pendingTable{Pending: NewPending(o), t: t, evicted: map[string]Reason{}}
		test(ta)
		ta.wantSound()
	})
}

// pendingConn is a connection that holds a slot.
type pendingConn struct {
	*Slot
	name string
}

// try begins a connection from addr, which may be refused.
func (ta *pendingTable) try(addr string) (*pendingConn, Reason) {
	ta.began++
	c := &pendingConn{name: fmt.Sprintf("%s #%d", addr, ta.began)}
	at, _ := netip.ParseAddr(addr) // "": none
	slot, why := ta.Acquire(at, ta.mayBegin, func(why Reason) { ta.evicted[c.name] = why })
	c.Slot = slot
	return c, why
}

func (ta *pendingTable) begin(addr string) *pendingConn {
	ta.t.Helper()
	c, why := ta.try(addr)
	if why != None {
		ta.t.Fatalf("%s is refused: %d", c.name, why)
	}
	return c
}

// flood begins n connections, at addresses as format makes them, and does not care how they end.
func (ta *pendingTable) flood(format string, n int) {
	for i := range n {
		ta.try(fmt.Sprintf(format, i))
	}
}

func (ta *pendingTable) wantOpen(c *pendingConn) {
	ta.t.Helper()
	if why, ok := ta.evicted[c.name]; ok {
		ta.t.Errorf("%s was pushed out: %d", c.name, why)
	}
}

func (ta *pendingTable) wantEvicted(c *pendingConn, want Reason) {
	ta.t.Helper()
	if got := ta.evicted[c.name]; got != want {
		ta.t.Errorf("%s was pushed out for reason %d, want %d", c.name, got, want)
	}
}

func (ta *pendingTable) wantLen(want int) {
	ta.t.Helper()
	if got := ta.Len(); got != want {
		ta.t.Errorf("%d slots are held, want %d", got, want)
	}
}

// wantSound checks what the trees are made of.
func (ta *pendingTable) wantSound() {
	ta.t.Helper()
	for name, tree := range map[string]*tree{"strangers": ta.strangers, "known": ta.known} {
		groups := 0
		if n := wantSound(ta.t, name, &tree.root, &groups); n > tree.max {
			ta.t.Errorf("%s: %d slots of %d", name, n, tree.max)
		}
		if len(tree.groups) != groups-1 {
			ta.t.Errorf("%s: %d groups are indexed, %d exist", name, len(tree.groups), groups-1)
		}
	}
}

func wantSound(t *testing.T, name string, g *group, groups *int) int {
	t.Helper()
	*groups++
	listed, last := 0, uint64(0)
	for s := g.first; s != nil; s = s.links[g.depth].next {
		if s.number <= last {
			t.Errorf("%s %v: slots are not listed by age", name, g.prefix)
		}
		listed, last = listed+1, s.number
	}
	sum := 0
	for i, child := range g.children {
		if child.index != i || child.parent != g || i > 0 && g.children.Less(i, (i-1)/2) {
			t.Errorf("%s %v: %v is out of order", name, g.prefix, child.prefix)
		}
		sum += wantSound(t, name, child, groups)
	}
	if listed != g.count || len(g.children) > 0 && sum != g.count || g.parent != nil && g.count == 0 {
		t.Errorf("%s %v: %d slots are counted, %d listed, %d in its parts", name, g.prefix, g.count, listed, sum)
	}
	return g.count
}
