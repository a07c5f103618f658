package limit

import (
	"cmp"
	"net/netip"
	"sync"
	"time"
)

// grace is how long a slot is safe from those that no crowd gives a right to it: enough for a TLS
// handshake and a sign-in over a slow path.
const grace = 3 * time.Second

// ConnRate is how fast connections of one address group may begin at a listener, unless it is
// configured otherwise: 50 a second, 1000 at once. A TLS handshake costs up to 1.7 ms of a core,
// with RSA 2048, and when a server was restarted all clients of an office come back at once.
func ConnRate() Rate { return Rate{PerSecond: 50, Burst: 1000} }

// Reason says why a connection is refused a slot, or loses the one it has.
type Reason int

// The reasons. None is that of a slot that was acquired.
const (
	None        Reason = iota
	TableFull          // PendingOptions.Max
	AddressFull        // PendingOptions.PerAddress
	TooFast            // what was to say whether the connection may begin
)

// String returns the reason as a label of metrics.
func (r Reason) String() string {
	return [...]string{"none", "too_many", "too_many_from_address", "too_fast_from_address"}[r]
}

// PendingOptions configures a Pending. Zero fields mean the defaults.
type PendingOptions struct {
	// Max is how many slots there are, default 8192.
	Max int
	// PerAddress is how many of them one address group may hold, default 256.
	PerAddress int
	// IPv4Bits is the length of the prefix that is an address group of IPv4: 32, the default, or
	// 24.
	IPv4Bits int
	// Known are the addresses for which a quarter of the slots is kept, and to which Slot.Prove
	// adds. Default none: the slots are for everyone.
	Known *Known
}

// Pending bounds the connections of clients that have not yet proved who they are. Each holds a
// Slot until its client signs in or leaves. It is safe for concurrent use.
//
// When the slots are used up, whoever used them up makes room: a new connection is given the slot
// of the oldest connection of the worst crowd. A crowd is a group of addresses (an IPv6 /56, /48 or
// /32, an IPv4 address or /24) that holds more than its share, and the worst is the one that
// exceeds its share by the largest factor. So one machine, one network or one network operator
// pushes out its own connections alone, however many addresses it has. Without a crowd the oldest
// connection of all makes room.
//
// Connections have 3 s in which only those outside their crowd can push them out: a flood from too
// many networks to be a crowd refuses some of the newcomers, and those that are let in have the
// time to sign in. A newcomer is refused in no other case, unless connections of its address begin
// too fast.
//
// A quarter of the slots is kept for addresses from which somebody has signed in before, and
// follows the same rules.
type Pending struct {
	o PendingOptions // set at construction

	mu        sync.Mutex
	strangers *tree
	known     *tree
}

// NewPending returns a Pending; nil options mean the defaults.
func NewPending(options *PendingOptions) *Pending {
	var o PendingOptions
	if options != nil {
		o = *options
	}
	o.Max, o.PerAddress, o.IPv4Bits = cmp.Or(o.Max, 8192), cmp.Or(o.PerAddress, 256), cmp.Or(o.IPv4Bits, 32)
	kept := 0
	if o.Known != nil {
		kept = o.Max / 4
	}
	return &Pending{o: o, strangers: newTree(o.Max - kept), known: newTree(kept)}
}

// Slot is one connection's share of a Pending. A nil *Slot is one that was released.
type Slot struct {
	pending  *Pending // set at construction
	mayBegin func(netip.Addr) bool
	evict    func(Reason)

	// guarded by pending.mu
	addr   netip.Addr
	since  time.Time
	number uint64 // grows from slot to slot
	tree   *tree  // nil: released
	leaf   *group
	links  [maxDepth + 1]link
}

// link is a slot's place in the list of one of its groups.
type link struct{ previous, next *Slot }

// Acquire returns a slot for a connection from addr, or why there is none. An invalid addr is that
// of a proxy's connection until Slot.Move: Max alone bounds it.
//
// mayBegin is asked for connections that would not be refused otherwise, and before another one
// makes room: it is the place for a rate. nil: they may. It must not wait.
//
// The Pending calls evict once if the slot goes to another connection: from the goroutine that
// acquires that, without a lock. It closes the connection, and must not wait for it.
func (p *Pending) Acquire(
	addr netip.Addr, mayBegin func(netip.Addr) bool, evict func(Reason),
) (*Slot, Reason) {
	s := &Slot{pending: p, mayBegin: mayBegin, evict: evict}
	if why := p.place(s, addr, false); why != None {
		return nil, why
	}
	return s, None
}

// Reacquire is Acquire for a connection that was proved and is no longer: it is never refused, and
// makes room as if all slots were older than 3 s.
func (p *Pending) Reacquire(addr netip.Addr, evict func(Reason)) *Slot {
	s := &Slot{pending: p, evict: evict}
	p.place(s, addr, true)
	return s
}

// place puts s, which is in no tree, where a slot of addr belongs.
func (p *Pending) place(s *Slot, addr netip.Addr, always bool) (refused Reason) {
	isKnown := p.o.Known.has(addr) // it has a lock of its own
	p.mu.Lock()
	victim, why, ok := p.placeLocked(s, addr, isKnown, always)
	p.mu.Unlock()
	switch {
	case !ok:
		return why
	case victim != nil:
		victim.evict(why)
	}
	return None
}

func (p *Pending) placeLocked(
	s *Slot, addr netip.Addr, isKnown, always bool,
) (victim *Slot, why Reason, ok bool) {
	at, now := pathOf(addr, p.o.IPv4Bits), time.Now()
	into := p.tableLocked(isKnown)
	var crowd *group
	if victim = p.oldestAtLocked(&at); victim != nil {
		why, into = AddressFull, victim.tree
	} else if !into.hasRoom() {
		victim, crowd = into.victim()
		why = TableFull
	}
	isOwn := crowd == nil || crowd.holds(at.leaf())
	switch {
	case victim != nil && isOwn && !always && now.Sub(victim.since) < grace:
		return nil, why, false
	case s.mayBegin != nil && addr.IsValid() && !s.mayBegin(addr):
		return nil, TooFast, false
	case victim != nil:
		victim.tree.remove(victim)
	}
	s.addr, s.since = addr, now
	into.insert(s, &at)
	return victim, why, true
}

// tableLocked is where a new slot goes. Those of known addresses use what is kept for them first.
func (p *Pending) tableLocked(isKnown bool) *tree {
	if isKnown && p.known.max > 0 && (p.known.hasRoom() || !p.strangers.hasRoom()) {
		return p.known
	}
	return p.strangers
}

// oldestAtLocked returns the oldest slot of an address group that holds all it may, else nil.
func (p *Pending) oldestAtLocked(at *path) (oldest *Slot) {
	if !at.leaf().IsValid() {
		return nil
	}
	count := 0
	for _, t := range [...]*tree{p.strangers, p.known} {
		if g := t.groups[at.leaf()]; g != nil {
			count += g.count
			if oldest == nil || g.first.since.Before(oldest.since) {
				oldest = g.first
			}
		}
	}
	if count < p.o.PerAddress {
		return nil
	}
	return oldest
}

// Len returns how many slots are held.
func (p *Pending) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.strangers.root.count + p.known.root.count
}

// Move counts the connection at addr from now on, as a new one from there: a proxy has said for
// whom it speaks. Where Acquire would have refused that, Move releases the slot and returns why. It
// does nothing if the slot is released, or at that address group already.
func (s *Slot) Move(addr netip.Addr) (refused Reason) {
	if s == nil || !s.leaveFor(addr) {
		return None
	}
	return s.pending.place(s, addr, false)
}

func (s *Slot) leaveFor(addr netip.Addr) bool {
	s.pending.mu.Lock()
	defer s.pending.mu.Unlock()
	if s.tree == nil || Group(s.addr) == Group(addr) {
		return false
	}
	s.tree.remove(s)
	return true
}

// Release gives the slot back. Later calls do nothing.
func (s *Slot) Release() { s.release() }

// Prove gives the slot back because its client has proved who it is, and makes its address a known
// one.
func (s *Slot) Prove() {
	if addr := s.release(); addr.IsValid() {
		s.pending.o.Known.Add(addr)
	}
}

// release returns the address of the connection.
func (s *Slot) release() netip.Addr {
	if s == nil {
		return netip.Addr{}
	}
	s.pending.mu.Lock()
	defer s.pending.mu.Unlock()
	if s.tree != nil {
		s.tree.remove(s)
	}
	return s.addr
}
