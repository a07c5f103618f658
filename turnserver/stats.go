package turnserver

import "sync/atomic"

// Stats are counts since the start, and the allocations there are now.
type Stats struct {
	Allocations        int    // now
	AllocationsCreated uint64 // since the start
	AuthFailures       uint64 // requests with credentials that were not good
	QuotaRefusals      uint64 // Allocate requests beyond a user's or the server's bound
	PeersDenied        uint64 // permissions and channels refused by the policy, or beyond what one allocation may have
	PacketsDenied      uint64 // packets to or from a peer that the policy forbids
	PacketsDropped     uint64 // packets that found a full queue, or were longer than maxDatagram
	PacketsToPeers     uint64
	BytesToPeers       uint64
	PacketsFromPeers   uint64
	BytesFromPeers     uint64
}

// counters are what Stats is read from.
type counters struct {
	created, authFailures, quotaRefusals, peersDenied, packetsDenied, packetsDropped atomic.Uint64
	toPeers, fromPeers                                                               traffic
}

type traffic struct{ packets, bytes atomic.Uint64 }

func (t *traffic) add(bytes int) {
	t.packets.Add(1)
	t.bytes.Add(uint64(bytes))
}

// Stats returns the counts. They are read one after the other while the relay works.
func (s *Server) Stats() Stats {
	c := &s.counters
	return Stats{
		Allocations:        s.allocations.count(),
		AllocationsCreated: c.created.Load(),
		AuthFailures:       c.authFailures.Load(),
		QuotaRefusals:      c.quotaRefusals.Load(),
		PeersDenied:        c.peersDenied.Load(),
		PacketsDenied:      c.packetsDenied.Load(),
		PacketsDropped:     c.packetsDropped.Load(),
		PacketsToPeers:     c.toPeers.packets.Load(),
		BytesToPeers:       c.toPeers.bytes.Load(),
		PacketsFromPeers:   c.fromPeers.packets.Load(),
		BytesFromPeers:     c.fromPeers.bytes.Load(),
	}
}
