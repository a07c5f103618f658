package turnserver

import (
	"errors"
	"net/netip"
	"sync"
	"time"
)

var (
	errUserQuota = errors.New("the user has no allocation left")
	errFull      = errors.New("the server has no allocation left")
	errKicked    = errors.New("the user was kicked")
)

// allocations are the relays that live, by the ways in which they are looked up. Its bounds are the quotas.
type allocations struct {
	max, perUser int

	mu       sync.RWMutex
	byRelay  map[netip.AddrPort]*relay // local form
	byClient map[fiveTuple]*relay
	byUser   map[string]int
	kicked   map[string]time.Time // user → credentials that end until then open nothing
}

// fiveTuple names a client's transport to us (the protocol is UDP).
type fiveTuple struct{ client, server netip.AddrPort }

func newAllocations(limit, perUser int) *allocations {
	return &allocations{
		max: limit, perUser: perUser,
		byRelay:  make(map[netip.AddrPort]*relay),
		byClient: make(map[fiveTuple]*relay),
		byUser:   make(map[string]int),
		kicked:   make(map[string]time.Time),
	}
}

// hasRoom returns nil if user may have one more allocation.
func (a *allocations) hasRoom(user string) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.hasRoomLocked(user)
}

func (a *allocations) hasRoomLocked(user string) error {
	if a.byUser[user] >= a.perUser {
		return errUserQuota
	}
	if len(a.byRelay) >= a.max {
		return errFull
	}
	return nil
}

// add takes in r if there is still room for it.
func (a *allocations) add(r *relay) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.hasRoomLocked(r.owner.user); err != nil {
		return err
	}
	if a.isKickedLocked(r.owner) { // since it was let in
		return errKicked
	}
	a.byRelay[r.local] = r
	a.byClient[r.tuple] = r
	a.byUser[r.owner.user]++
	return nil
}

// remove forgets r, which was added.
func (a *allocations) remove(r *relay) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.byRelay, r.local)
	if a.byClient[r.tuple] == r { // the five-tuple may have a new one already
		delete(a.byClient, r.tuple)
	}
	if a.byUser[r.owner.user]--; a.byUser[r.owner.user] == 0 {
		delete(a.byUser, r.owner.user)
	}
}

// at returns the relay at an address in local form, or nil.
func (a *allocations) at(local netip.AddrPort) *relay {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.byRelay[local]
}

// of returns a client's relay, or nil.
func (a *allocations) of(tuple fiveTuple) *relay {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.byClient[tuple]
}

func (a *allocations) count() int {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return len(a.byRelay)
}

// kick makes the credentials of user that end until then open nothing any more, and
// returns what they have open.
func (a *allocations) kick(user string, until, now time.Time) (open []*relay) {
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
	for _, r := range a.byRelay {
		if r.owner.user == user {
			open = append(open, r)
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
