package turnserver

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v3"
)

// maxPeers bounds the peers of one CreatePermission request.
const maxPeers = 64

// Channel numbers. RFC 8656 section 12 keeps those from 0x5000 on back, which RFC 5766 has.
const (
	minChannel    = 0x4000
	maxChannel    = 0x4FFF
	maxOldChannel = 0x7FFF
)

// permit installs or refreshes permissions for all peers of a request, or for none (RFC 8656 section 10.2).
func (g *guard) permit(r *request) ([]byte, error) {
	var peers []netip.AddrPort
	permitted := r.allocation.flows.load().permitted
	added := make(map[netip.Addr]bool)
	for _, attribute := range r.attributes {
		if attribute.Type != stun.AttrXORPeerAddress {
			continue
		}
		peer, err := g.peer(r, attribute.Value)
		if err != nil {
			return nil, err
		}
		if peers = append(peers, peer); permitted[peer.Addr()] == nil {
			added[peer.Addr()] = true
		}
	}
	switch {
	case len(peers) == 0, len(peers) > maxPeers:
		return nil, refuse(stun.CodeBadRequest)
	case len(permitted)+len(added) > maxPermissions:
		return nil, &refusal{code: stun.CodeInsufficientCapacity, reason: "Too Many Permissions"}
	}
	if err := g.server.control.permit(r.allocation, peers); err != nil {
		return nil, err
	}
	return r.respond(stun.ClassSuccessResponse), nil
}

// peer reads an XOR-PEER-ADDRESS, and checks that the allocation can and may reach it. An IPv4 address in IPv6 form is
// neither: no socket of ours could send there, and no client has to write it so.
func (g *guard) peer(r *request, value []byte) (netip.AddrPort, error) {
	peer, ok := addressIn(value, r.message.TransactionID)
	switch {
	case !ok:
		return peer, refuse(stun.CodeBadRequest)
	case peer.Addr().Is4In6() || familyOf(peer.Addr()) != familyOf(r.allocation.local.Addr()):
		return peer, refuse(stun.CodePeerAddrFamilyMismatch)
	case !g.server.policy.Load().mayHavePermission(peer.Addr()):
		g.server.Logger.Debug("peer denied", "user", r.signer.user, "client", r.client.client, "peer", peer)
		return peer, refuse(stun.CodeForbidden)
	}
	return peer, nil
}

// bind binds a channel to a peer, or refreshes it (RFC 8656 section 12.2).
func (g *guard) bind(r *request) ([]byte, error) {
	value, ok := r.getSized(stun.AttrChannelNumber, 4)
	address, hasPeer := r.get(stun.AttrXORPeerAddress)
	if !ok || !hasPeer {
		return nil, refuse(stun.CodeBadRequest)
	}
	number := binary.BigEndian.Uint16(value)
	peer, err := g.peer(r, address)
	switch {
	case err != nil:
		return nil, err
	case number < minChannel, number > g.server.maxChannel():
		return nil, &refusal{code: stun.CodeBadRequest, reason: "Channel Number Outside 0x4000-0x4FFF"}
	case peer.Port() == 0:
		return nil, refuse(stun.CodeBadRequest)
	case g.server.policy.Load().isListener(peer):
		return nil, refuse(stun.CodeForbidden)
	}
	if err := r.allocation.hasRoomFor(number, peer); err != nil {
		return nil, err
	}
	if err := g.server.control.bind(r.allocation, number, peer); err != nil {
		return nil, err
	}
	return r.respond(stun.ClassSuccessResponse), nil
}

func (s *settings) maxChannel() uint16 {
	if s.OldChannels {
		return maxOldChannel
	}
	return maxChannel
}

// hasRoomFor refuses a channel that clashes with another one, and one too many.
func (a *allocation) hasRoomFor(number uint16, peer netip.AddrPort) error {
	flows := a.flows.load()
	there, bound := flows.byNumber[number], flows.byPeer[peer]
	switch {
	case there != nil && there.peer != peer, bound != nil && bound.number != number:
		return refuse(stun.CodeBadRequest)
	case there == nil && len(flows.byNumber) >= maxChannels:
		return &refusal{code: stun.CodeInsufficientCapacity, reason: "Too Many Channels"}
	case flows.permitted[peer.Addr()] == nil && len(flows.permitted) >= maxPermissions:
		return &refusal{code: stun.CodeInsufficientCapacity, reason: "Too Many Permissions"}
	}
	return nil
}

func (a *allocation) hasEnded() bool {
	select {
	case <-a.ended:
		return true
	default:
		return false
	}
}
