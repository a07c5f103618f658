package turnserver

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sigctl/sigctl/pkg/udp"
)

var (
	errUserQuota = errors.New("the user has no allocation left")
	errUserRate  = errors.New("the user opens allocations too fast")
	errFull      = errors.New("the server has no allocation left")
	errKicked    = errors.New("the user was kicked")
	errDraining  = errors.New("the server takes no allocation any more")
)

// allocations are those that live, by the ways in which they are looked up. Its bounds are the quotas.
type allocations struct {
	max, perUser int
	bandwidth    *bandwidth

	version atomic.Uint64 // of byRelay: what was found there holds until this is another one

	mu       sync.RWMutex
	byRelay  map[netip.AddrPort]*allocation // local form
	byClient map[fiveTuple]*allocation
	byUser   map[string]*account
	places   int                  // that are taken
	kicked   map[string]time.Time // user → credentials that end until then open nothing
	drained  bool                 // nothing is opened any more
	empty    chan struct{}        // closed when drained and the last has ended
}

// account is what one user has, or had a moment ago.
type account struct {
	places int
	use    *usage
	waits  bool // a timer does, to forget it
}

func newAllocations(limit, perUser int, bandwidth *bandwidth) *allocations {
	return &allocations{
		max: limit, perUser: perUser, bandwidth: bandwidth,
		byRelay:  make(map[netip.AddrPort]*allocation),
		byClient: make(map[fiveTuple]*allocation),
		byUser:   make(map[string]*account),
		kicked:   make(map[string]time.Time),
		empty:    make(chan struct{}),
	}
}

// take takes n places for allocations of owner, or returns why there are none; release gives them back.
func (a *allocations) take(owner identity, n int) (*usage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	mine := a.byUser[owner.user]
	switch {
	case a.drained:
		return nil, errDraining
	case a.isKickedLocked(owner):
		return nil, errKicked
	case n > a.perUser || mine != nil && mine.places+n > a.perUser:
		return nil, errUserQuota
	case a.places+n > a.max:
		return nil, errFull
	}
	if mine == nil {
		mine = &account{use: a.bandwidth.newUsage()}
		a.byUser[owner.user] = mine
	}
	if !mine.use.requests.take(a.bandwidth.now(), n*allocateCost) {
		return nil, errUserRate
	}
	mine.places += n
	a.places += n
	return mine.use, nil
}

func (a *allocations) release(user string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.releaseLocked(user, n)
}

func (a *allocations) releaseLocked(user string, n int) {
	a.byUser[user].places -= n
	a.forgetLocked(user)
	a.places -= n
	a.noteEmptyLocked()
}

// forgetLocked forgets a user who has nothing. It waits until the user's bucket is full, or whoever ends all allocations
// and begins anew could have the burst again and again.
func (a *allocations) forgetLocked(user string) {
	mine := a.byUser[user]
	if mine == nil || mine.places > 0 {
		return
	}
	wait := mine.use.untilFull(a.bandwidth.now())
	switch {
	case wait <= 0:
		delete(a.byUser, user)
	case !mine.waits:
		mine.waits = true
		time.AfterFunc(wait, func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			mine.waits = false
			a.forgetLocked(user)
		})
	}
}

// add takes in x, which has a place.
func (a *allocations) add(x *allocation) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.drained:
		return errDraining
	case a.isKickedLocked(x.owner): // since it took its place
		return errKicked
	}
	a.byRelay[x.local] = x
	a.version.Add(1)
	a.byClient[x.client.fiveTuple] = x
	return nil
}

// remove forgets x, which was added, and gives its place back.
func (a *allocations) remove(x *allocation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.byRelay, x.local)
	a.version.Add(1)
	if a.byClient[x.client.fiveTuple] == x {
		delete(a.byClient, x.client.fiveTuple)
	}
	a.releaseLocked(x.owner.user, 1)
}

// at returns the allocation at a relayed address in local form, or nil.
func (a *allocations) at(local netip.AddrPort) *allocation {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.byRelay[local]
}

// of returns a client's allocation, or nil.
func (a *allocations) of(tuple fiveTuple) *allocation {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.byClient[tuple]
}

// ofEach appends to found the allocations of those who sent packets to an address over UDP, nil for none.
func (a *allocations) ofEach(found []*allocation, packets []udp.Packet, server netip.AddrPort) []*allocation {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for i, p := range packets {
		if i > 0 && p.From == packets[i-1].From {
			found = append(found, found[len(found)-1])
		} else {
			found = append(found, a.byClient[fiveTuple{client: p.From, server: server, transport: UDP}])
		}
	}
	return found
}

// on returns the allocations whose relayed address, or the address at which their client reached us, is one of ips.
func (a *allocations) on(ips []netip.Addr) (found []*allocation) {
	if len(ips) == 0 {
		return nil
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, x := range a.byRelay {
		if slices.Contains(ips, x.local.Addr()) || slices.Contains(ips, x.client.server.Addr()) {
			found = append(found, x)
		}
	}
	return found
}

// count returns how many allocations and users of them there are.
func (a *allocations) count() (open, users int) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, mine := range a.byUser {
		if mine.places > 0 {
			users++
		}
	}
	return len(a.byRelay), users
}

// kick makes the credentials of user that end until then open nothing any more, and
// returns what they have open.
func (a *allocations) kick(user string, until, now time.Time) (open []*allocation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, end := range a.kicked {
		if !end.After(now) { // those credentials have expired
			delete(a.kicked, name)
		}
	}
	if until.After(a.kicked[user]) {
		a.kicked[user] = until
	}
	for _, x := range a.byRelay {
		if x.owner.user == user {
			open = append(open, x)
		}
	}
	return open
}

func (a *allocations) isKicked(owner identity) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.isKickedLocked(owner)
}

func (a *allocations) isKickedLocked(owner identity) bool {
	until, ok := a.kicked[owner.user]
	return ok && !owner.expires.IsZero() && !owner.expires.After(until)
}

// drain lets nothing be opened any more. The channel is closed when nothing is open.
func (a *allocations) drain() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.drained {
		a.drained = true
		a.noteEmptyLocked()
	}
	return a.empty
}

func (a *allocations) noteEmptyLocked() {
	if !a.drained || a.places > 0 {
		return
	}
	select {
	case <-a.empty:
	default:
		close(a.empty)
	}
}
