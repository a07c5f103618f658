package turnserver

import (
	"net/netip"
	"sync/atomic"

	"github.com/sigctl/sigctl/turnserver/internal/dtls"
	"github.com/sigctl/sigctl/turnserver/internal/stream"
)

// Stats are counts since the start, and what there is now.
type Stats struct {
	Allocations        int    // now
	Reservations       int    // now: ports kept for 30 s (RFC 8656 section 7.2)
	Users              int    // now: those who have allocations or reservations
	AllocationsCreated uint64 // since the start
	Listeners          []ListenerStats
}

// ListenerStats are the counts of one listener, and of the allocations that were made through it.
type ListenerStats struct {
	Transport   Transport
	Address     netip.AddrPort
	Connections int               // now; TCP, TLS and DTLS
	Refused     map[string]uint64 // connections and handshakes, by reason
	Errors      map[int]uint64    // error responses, by STUN error code
	Dropped     map[string]uint64 // messages and packets, by reason
	ToPeers     Traffic
	FromPeers   Traffic
}

// Traffic is relayed payload.
type Traffic struct{ Packets, Bytes uint64 }

// dropReason says why a message or a packet went no further.
type dropReason int

// The reasons.
const (
	dropMalformed    dropReason = iota // neither STUN nor ChannelData, or broken
	dropRequests                       // a request beyond a rate, or more than can wait for an answer
	dropStranger                       // a request of a stranger that the limits left without an answer, or unchecked
	dropNoAllocation                   // data of a client without one
	dropNoChannel                      // ChannelData with an unbound number
	dropNoPermission                   // to or from a peer without one
	dropPolicy                         // to or from a peer that the policy forbids
	dropFamily                         // to a peer of the other address family
	dropBandwidth                      // beyond what the user, or all, may relay
	dropQueue                          // the client's connection or the kernel did not take it
	dropReasons

	accepted dropReason = -1 // it does go further
)

func (r dropReason) String() string {
	return [...]string{"malformed", "requests", "stranger", "no_allocation", "no_channel", "no_permission", "policy", "family", "bandwidth", "queue"}[r]
}

// counters are what Stats is read from.
type counters struct {
	errors             [700]atomic.Uint64 // by STUN error code
	dropped            [dropReasons]atomic.Uint64
	toPeers, fromPeers traffic
}

type traffic struct{ packets, bytes atomic.Uint64 }

func (t *traffic) add(packets, bytes int) {
	t.packets.Add(uint64(packets))
	t.bytes.Add(uint64(bytes))
}

func (t *traffic) load() Traffic { return Traffic{t.packets.Load(), t.bytes.Load()} }

func (c *counters) drop(why dropReason) { c.dropped[why].Add(1) }

// Stats returns the counts. They are read one after the other while the relay works.
func (s *Server) Stats() Stats {
	stats := Stats{Reservations: s.reservations.count(), AllocationsCreated: s.created.Load()}
	stats.Allocations, stats.Users = s.allocations.count()
	for _, l := range append(s.listeners[:len(s.listeners):len(s.listeners)], s.shared) {
		stats.Listeners = append(stats.Listeners, l.stats())
	}
	return stats
}

func (l *listener) stats() ListenerStats {
	c := &l.counters
	stats := ListenerStats{
		Transport: l.transport, Address: l.address,
		Errors: make(map[int]uint64), Dropped: make(map[string]uint64), Refused: make(map[string]uint64),
		ToPeers: c.toPeers.load(), FromPeers: c.fromPeers.load(),
	}
	for code := range c.errors {
		if n := c.errors[code].Load(); n > 0 {
			stats.Errors[code] = n
		}
	}
	for why := range dropReasons {
		if n := c.dropped[why].Load(); n > 0 {
			stats.Dropped[why.String()] = n
		}
	}
	if l.streams != nil {
		stats.Connections = l.streams.Open()
		addCounts(stats.Refused, l.streams.Refused(), func(r stream.Reason) string { return string(r) })
	}
	if l.dtls != nil {
		addCounts(stats.Refused, l.dtls.Stats().Refused, dtls.Reason.String)
	}
	return stats
}

// Sum returns the counts of all listeners together.
func (s *Stats) Sum() ListenerStats {
	sum := ListenerStats{Errors: make(map[int]uint64), Dropped: make(map[string]uint64), Refused: make(map[string]uint64)}
	for _, l := range s.Listeners {
		sum.Connections += l.Connections
		addCounts(sum.Errors, l.Errors, same)
		addCounts(sum.Dropped, l.Dropped, same)
		addCounts(sum.Refused, l.Refused, same)
		sum.ToPeers.add(l.ToPeers)
		sum.FromPeers.add(l.FromPeers)
	}
	return sum
}

// addCounts adds what was counted, under labels.
func addCounts[From, To comparable](to map[To]uint64, from map[From]uint64, label func(From) To) {
	for key, n := range from {
		if n > 0 {
			to[label(key)] += n
		}
	}
}

func same[T any](x T) T { return x }

func (t *Traffic) add(more Traffic) {
	t.Packets += more.Packets
	t.Bytes += more.Bytes
}
