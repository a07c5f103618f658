package turnserver

import (
	"encoding/binary"
	"net/netip"

	"github.com/sigctl/sigctl/pkg/udp"
)

// channelHeader is the length of ChannelData's header, in bytes (RFC 8656 section 12.4).
const channelHeader = 4

// serveUDP reads one shard of a UDP address until it is closed.
func (l *listener) serveUDP(socket *udp.Socket) error {
	s := &shard{socket: socket, batch: newBatch(l)}
	return s.coalescer.Serve(socket, s.fromClients)
}

// shard is one socket of a UDP listener, with its reader.
type shard struct {
	socket    *udp.Socket
	coalescer udp.Coalescer // of its reader, and of those of its clients' allocations

	// owned by the reader
	batch  *batch
	owners []*allocation // of the packets in hand, nil: none
}

// fromClients takes what clients have sent.
func (s *shard) fromClients(packets []udp.Packet) {
	b, l := s.batch, s.batch.listener
	b.begin()
	at := s.socket.LocalAddr()
	s.owners = l.server.allocations.ofEach(s.owners[:0], packets, at)
	for i, p := range packets {
		if !b.fromClient(s.owners[i], p.Data) {
			s.request(s.owners[i], at, p)
		}
	}
	b.end()
	clear(s.owners)
}

// request hands over a message for the guard of a client that has the allocation a, or none if that is nil. Here nothing is
// checked but what costs next to nothing: others' data waits.
func (s *shard) request(a *allocation, at netip.AddrPort, p udp.Packet) {
	b, l := s.batch, s.batch.listener
	switch {
	case len(p.Data) > maxRequest:
		b.drop(dropMalformed)
		return
	case a != nil && !isBinding(p.Data) && !a.admits(b.now, len(p.Data)):
		b.drop(dropRequests)
		return
	}
	b.end() // the last words before a Refresh that ends the allocation, too
	tuple := fiveTuple{client: p.From, server: at, transport: UDP}
	if !l.server.requests.put(a, client{fiveTuple: tuple, listener: l, shard: s}, p.Data) {
		b.drop(dropRequests)
	}
}

// isBinding reports whether a STUN message is a Binding request.
func isBinding(message []byte) bool { return binary.BigEndian.Uint16(message) == bindingType }

// bindingType is the type of a Binding request (RFC 8489 section 5).
const bindingType = 0x0001

// fromConn takes a message of a client over a connection. What else the connection brings waits: it is the same client's.
func (b *batch) fromConn(c *client, message []byte) {
	if b.fromClient(b.listener.server.allocations.of(c.fiveTuple), message) {
		return
	}
	b.end() // the last words before a Refresh that ends the allocation, too
	answer := b.listener.server.guard.handle(c, message)
	if answer != nil && !c.send(b.queue, nil, answer) {
		b.drop(dropQueue)
	}
	b.countRefused(c, answer)
}

// maxRefused requests are refused over one connection while it has no allocation. Each may cost as many keys as there are secrets, and a
// stranger can send them as fast as the connection takes them.
const maxRefused = 64

// countRefused counts an answer that is a refusal to a client without an allocation.
func (b *batch) countRefused(c *client, answer []byte) {
	const errorClass = 0x0110 // RFC 8489 section 5
	switch {
	case len(answer) < headerSize || binary.BigEndian.Uint16(answer)&errorClass != errorClass:
	case b.listener.server.allocations.of(c.fiveTuple) != nil:
		c.refused = 0
	default:
		c.refused++
	}
}

// fromClient takes one message of a client that has the allocation a, or none if that is nil. It returns false if the
// message is STUN and for the guard.
func (b *batch) fromClient(a *allocation, message []byte) bool {
	switch {
	case len(message) >= channelHeader && message[0]>>6 == 1:
		if a == nil {
			b.drop(dropNoAllocation)
		} else {
			b.channelData(a, message)
		}
	case len(message) < headerSize || message[0]>>6 != 0:
		b.drop(dropMalformed)
	case !isSend(message):
		return false
	case a == nil:
		b.drop(dropNoAllocation)
	default:
		b.sendIndication(a, message)
	}
	return true
}

// channelData relays a message in a channel (RFC 8656 section 12.6). It may be padded.
func (b *batch) channelData(a *allocation, message []byte) {
	length := int(binary.BigEndian.Uint16(message[2:]))
	ch := a.flows.load().byNumber[binary.BigEndian.Uint16(message)]
	switch {
	case ch == nil:
		b.drop(dropNoChannel)
	case length > len(message)-channelHeader:
		b.drop(dropMalformed)
	case !ch.permitted.Load():
		b.drop(dropNoPermission)
	default:
		r := ch.route(a, b.policy)
		b.toPeer(a, ch.peer, r.permitted, r.hop, message[channelHeader:channelHeader+length])
	}
}

// sendIndication relays what a Send indication carries (RFC 8656 section 11.2).
func (b *batch) sendIndication(a *allocation, message []byte) {
	peer, payload, ok := parseSend(message)
	if !ok {
		b.drop(dropMalformed)
		return
	}
	if peer.Addr().Is4() != a.local.Addr().Is4() { // IPv4 in IPv6 form is neither
		b.drop(dropFamily)
		return
	}
	permission := a.flows.load().permitted[peer.Addr()]
	if permission == nil {
		b.drop(dropNoPermission)
		return
	}
	b.toPeer(a, peer, permission.verdict.permits(b.policy, peer), a.server.hop(a, peer, b.policy), payload)
}

// toPeer sends a payload to a peer for which a has a permission. Relays of this server need none of the policy.
func (b *batch) toPeer(a *allocation, peer netip.AddrPort, permitted bool, h hop, payload []byte) {
	switch {
	case h.target == nil && !permitted:
		b.drop(dropPolicy)
		return
	case !b.take(a.use, len(payload)):
		b.drop(dropBandwidth)
		return
	}
	b.toPeers.add(&a.client.listener.counters.toPeers, len(payload))
	if h.target != nil {
		b.fromRelay(h.target, h.as, payload)
	} else {
		b.queue.Add(a.socket, peer, nil, payload)
	}
}

// hop is the way to another relayed address of this server, in memory.
type hop struct {
	target *allocation    // nil: there is none that lives
	as     netip.AddrPort // whom the target sees
}

// atRelays reports whether a peer's address is one at which this server relays.
func (s *Server) atRelays(peer netip.AddrPort, p *policy) bool {
	return peer.Port() >= s.MinPort && peer.Port() <= s.MaxPort && p.isRelayIP(peer.Addr())
}

// hop finds the allocation at a peer's address. It sees the sender in the form in which the sender named it, public or
// local, so that permissions for either form work.
func (s *Server) hop(sender *allocation, peer netip.AddrPort, p *policy) hop {
	if !s.atRelays(peer, p) {
		return hop{}
	}
	if at := s.external[familyOf(peer.Addr())]; at.public == peer.Addr() && at.public != at.local {
		return hop{s.allocations.at(netip.AddrPortFrom(at.local, peer.Port())), sender.public}
	}
	return hop{s.allocations.at(peer), sender.local}
}
