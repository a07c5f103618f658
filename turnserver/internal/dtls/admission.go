package dtls

import (
	"net/netip"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
)

// maxNetworks bounds the networks whose rate is remembered; see limit.Buckets for what happens beyond.
const maxNetworks = 1 << 14

// admission counts what proven clients hold, and says who may hold more. It is not safe for concurrent use.
type admission struct {
	cfg      *Config
	halfOpen int
	sessions int                  // established
	networks map[netip.Prefix]int // half-open, by networkOf
	addrs    map[netip.Prefix]int // half-open and established, by limit.Group
	rate     limit.Bucket
	rates    *limit.Buckets[netip.Prefix]
}

func newAdmission(cfg *Config) admission {
	return admission{
		cfg: cfg, networks: map[netip.Prefix]int{}, addrs: map[netip.Prefix]int{},
		rates: limit.NewBuckets[netip.Prefix](cfg.HandshakesPerNetwork, maxNetworks),
	}
}

// networkOf is the unit in which half-open handshakes are counted: who has one address often has its neighbours.
func networkOf(addr netip.Addr) netip.Prefix {
	group := limit.Group(addr)
	if !group.Addr().Is4() {
		return group
	}
	network, _ := group.Addr().Prefix(24) // 24 bits fit
	return network
}

// begin counts a handshake as half-open, or says why it may not begin. The network's bounds come first, so that what is
// refused to one takes nothing from others.
func (a *admission) begin(addr netip.Addr, now time.Time) Reason {
	network, group := networkOf(addr), limit.Group(addr)
	switch {
	case a.networks[network] >= a.cfg.MaxHalfOpenPerNetwork:
		return NetworkHalfOpen
	case a.addrs[group] >= a.cfg.MaxSessionsPerAddress:
		return AddressSessions
	case a.halfOpen >= a.cfg.MaxHalfOpen:
		return HalfOpen
	case a.halfOpen+a.sessions >= a.cfg.MaxSessions:
		return Sessions
	case a.rates.Take(network, 1) != 0:
		return NetworkRate
	case a.rate.Take(now, a.cfg.Handshakes, 1) != 0:
		return Rate
	}
	a.halfOpen++
	a.networks[network]++
	a.addrs[group]++
	return none
}

// established moves one from the half-open to the sessions.
func (a *admission) established(addr netip.Addr) {
	a.closeHalf(addr)
	a.sessions++
}

// failed forgets a half-open one.
func (a *admission) failed(addr netip.Addr) {
	a.closeHalf(addr)
	decrement(a.addrs, limit.Group(addr))
}

// ended forgets an established one.
func (a *admission) ended(addr netip.Addr) {
	a.sessions--
	decrement(a.addrs, limit.Group(addr))
}

func (a *admission) closeHalf(addr netip.Addr) {
	a.halfOpen--
	decrement(a.networks, networkOf(addr))
}

func decrement(counts map[netip.Prefix]int, key netip.Prefix) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}
