package dtls

import (
	"net/netip"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
)

// maxNetworks bounds the networks whose rate is remembered; see limit.Buckets for what happens beyond.
const maxNetworks = 1 << 14

// admission bounds what proven clients hold. It is not safe for concurrent use.
type admission struct {
	cfg      *Config
	halfOpen *limit.Pending
	sessions int                  // established
	addrs    map[netip.Prefix]int // half-open and established, by limit.Group
	rate     limit.Bucket
	rates    *limit.Buckets[netip.Prefix]
}

func newAdmission(cfg *Config) admission {
	return admission{
		cfg: cfg, addrs: map[netip.Prefix]int{},
		halfOpen: limit.NewPending(&limit.PendingOptions{
			Max: cfg.MaxHalfOpen, PerAddress: cfg.MaxHalfOpenPerNetwork, IPv4Bits: networkBits, Known: cfg.Known,
		}),
		rates: limit.NewBuckets[netip.Prefix](cfg.HandshakesPerNetwork, maxNetworks),
	}
}

// networkBits is the length of the prefix in which IPv4 handshakes are counted: who has one address often
// has its neighbors.
const networkBits = 24

// networkOf is the unit in which half-open handshakes are counted.
func networkOf(addr netip.Addr) netip.Prefix {
	group := limit.Group(addr)
	if !group.Addr().Is4() {
		return group
	}
	network, _ := group.Addr().Prefix(networkBits) // they fit
	return network
}

// begin returns the slot of a half-open handshake, or why that may not begin. The network's bounds come first, so that what
// is refused to one takes nothing from others. evict ends the handshake so that another one has its slot.
func (a *admission) begin(addr netip.Addr, now time.Time, evict func(limit.Reason)) (slot *limit.Slot, refused Reason) {
	group := limit.Group(addr)
	switch {
	case a.addrs[group] >= a.cfg.MaxSessionsPerAddress:
		return nil, AddressSessions
	case a.halfOpen.Len()+a.sessions >= a.cfg.MaxSessions:
		return nil, Sessions
	}
	mayBegin := func(addr netip.Addr) bool { refused = a.take(addr, now); return refused == none }
	slot, why := a.halfOpen.Acquire(addr, mayBegin, evict)
	switch why {
	case limit.AddressFull:
		return nil, NetworkHalfOpen
	case limit.TableFull:
		return nil, HalfOpen
	case limit.TooFast:
		return nil, refused
	}
	a.addrs[group]++
	return slot, none
}

// take takes what one more handshake takes of the rates, or says which of them does not allow it.
func (a *admission) take(addr netip.Addr, now time.Time) Reason {
	switch {
	case a.rates.Take(networkOf(addr), 1) != 0:
		return NetworkRate
	case a.rate.Take(now, a.cfg.Handshakes, 1) != 0:
		return Rate
	}
	return none
}

// established moves one from the half-open to the sessions.
func (a *admission) established(s *session) {
	s.slot.Release()
	s.slot = nil
	a.sessions++
}

// failed forgets a half-open one.
func (a *admission) failed(s *session) {
	s.slot.Release()
	decrement(a.addrs, limit.Group(s.tuple.remote.Addr()))
}

// ended forgets an established one.
func (a *admission) ended(s *session) {
	a.sessions--
	decrement(a.addrs, limit.Group(s.tuple.remote.Addr()))
}

func decrement(counts map[netip.Prefix]int, key netip.Prefix) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}
