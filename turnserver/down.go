package turnserver

import (
	"encoding/binary"
	"net/netip"

	"github.com/sigctl/sigctl/pkg/udp"
)

// fromPeers takes what peers have sent to a relayed address.
func (a *allocation) fromPeers(b *batch, packets []udp.Packet) {
	b.begin()
	flows := a.flows.load()
	var from source
	for i, p := range packets {
		if i == 0 || p.From != from.peer {
			from = b.source(a, flows, p.From)
		}
		if from.refused != accepted {
			b.drop(from.refused)
		} else {
			b.toClient(a, from, p.Data)
		}
	}
	b.end()
}

// fromRelay takes what another allocation of this server sends to a's relayed address. The policy has no say.
func (b *batch) fromRelay(a *allocation, as netip.AddrPort, payload []byte) {
	flows := a.flows.load()
	if flows.permitted[as.Addr()] == nil {
		a.client.listener.counters.drop(dropNoPermission)
		return
	}
	b.toClient(a, source{peer: as, channel: flows.byPeer[as]}, payload)
}

// source is a peer as an allocation sees it.
type source struct {
	peer    netip.AddrPort
	channel *channel // nil: none is bound
	refused dropReason
}

// source looks a peer up.
func (b *batch) source(a *allocation, f *flows, peer netip.AddrPort) source {
	from := source{peer: peer, channel: f.byPeer[peer], refused: accepted}
	if from.channel != nil {
		switch {
		case !from.channel.permitted.Load():
			from.refused = dropNoPermission
		case !from.channel.route(a, b.policy).permitted:
			from.refused = dropPolicy
		}
		return from
	}
	switch permission := f.permitted[peer.Addr()]; {
	case permission == nil:
		from.refused = dropNoPermission
	case !permission.verdict.permits(b.policy, peer):
		from.refused = dropPolicy
	}
	return from
}

// toClient sends a payload to a's client: in a channel if one is bound, else in a Data indication.
func (b *batch) toClient(a *allocation, from source, payload []byte) {
	counters := &a.client.listener.counters
	if !b.take(a.use, len(payload)) {
		counters.drop(dropBandwidth)
		return
	}
	var sent bool
	if from.channel != nil {
		var head [channelHeader]byte
		binary.BigEndian.PutUint16(head[:], from.channel.number)
		binary.BigEndian.PutUint16(head[2:], uint16(len(payload)))
		sent = a.client.send(b.queue, head[:], payload)
	} else {
		sent = a.client.sendIndication(b.queue, from.peer, payload)
	}
	if !sent {
		counters.drop(dropQueue)
		return
	}
	b.fromPeers.add(&counters.fromPeers, len(payload))
}
