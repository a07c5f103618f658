package turnserver

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"time"

	"github.com/pion/stun/v3"
)

// Lifetimes of allocations between two refreshes.
const (
	defaultLifetime = 600 * time.Second // RFC 8656 section 3.2

	// longestLifetime is what a client gets that asks for more: about an hour (RFC 8656 section 7.2), and a minute less than
	// libraryLifetime.
	longestLifetime = time.Hour - time.Minute
)

const (
	protocolUDP = 17   // of REQUESTED-TRANSPORT
	reserveNext = 0x80 // of EVEN-PORT: the R bit
)

// allocate opens an allocation (RFC 8656 section 7.2).
func (g *guard) allocate(r *request) ([]byte, error) {
	if r.allocation != nil {
		if answer := r.allocation.answer.Load(); answer != nil && r.isOwner && r.isAnsweredBy(*answer) {
			return *answer, nil // to the same request, which came again
		}
		return nil, refuse(stun.CodeAllocMismatch)
	}
	w, also, err := r.wanted()
	asked := r.lifetime()
	switch {
	case err != nil:
		return nil, err
	case r.isMalformed:
		return nil, refuse(stun.CodeBadRequest)
	case g.alternate.Load() != nil:
		return nil, g.refused(r, errDraining)
	}
	a, token, err := g.server.open(r.client, r.signer, w)
	if err != nil {
		return nil, g.refused(r, err)
	}
	if w.reserve {
		also = append(also, stun.RawAttribute{Type: stun.AttrReservationToken, Value: token[:]})
	}
	lifetime := min(asked, g.longest(a))
	if err := g.server.control.allocate(a, lifetime); err != nil {
		a.end()
		g.server.reservations.cancel(token, r.signer.user)
		if errors.Is(err, errEnded) { // by a kick, say
			err = refuse(stun.CodeAllocMismatch)
		}
		return nil, err
	}
	answer := r.respond(stun.ClassSuccessResponse, append([]stun.Setter{
		addressAttribute{stun.AttrXORRelayedAddress, a.public}, addressAttribute{stun.AttrXORMappedAddress, r.client.client}, lifetimeOf(lifetime),
	}, also...)...)
	a.answer.Store(&answer)
	g.opened(a)
	return answer, nil
}

// isAnsweredBy reports whether an answer is that to this request: they have the transaction id in common.
func (r *request) isAnsweredBy(answer []byte) bool {
	return r.message.TransactionID == [stun.TransactionIDSize]byte(answer[8:headerSize])
}

// wanted reads what is asked of the relayed address, and what the answer has to say besides.
func (r *request) wanted() (w wanted, also []stun.Setter, err error) {
	transport, hasTransport := r.getSized(stun.AttrRequestedTransport, 4)
	even, hasEven := r.getSized(stun.AttrEvenPort, 1)
	token, hasToken := r.getSized(stun.AttrReservationToken, len(w.token))
	_, hasFamily := r.getSized(stun.AttrRequestedAddressFamily, 4)
	additional, hasAdditional := r.getSized(attrAdditionalAddressFamily, 4)
	w.even, w.reserve = hasEven, hasEven && even[0]&reserveNext != 0
	switch {
	case r.isMalformed, !hasTransport:
		return w, nil, refuse(stun.CodeBadRequest)
	case transport[0] != protocolUDP:
		return w, nil, refuse(stun.CodeUnsupportedTransProto)
	case hasToken && (hasEven || hasFamily || hasAdditional), hasAdditional && (hasFamily || w.reserve):
		return w, nil, refuse(stun.CodeBadRequest)
	case hasAdditional && additional[0] != numberIPv6:
		return w, nil, refuse(stun.CodeBadRequest)
	case hasToken && [8]byte(token) == [8]byte{}: // which open takes for none
		return w, nil, refuse(stun.CodeInsufficientCapacity)
	case hasToken:
		w.token = [8]byte(token)
	case hasAdditional:
		also = append(also, stun.RawAttribute{Type: attrAddressErrorCode, Value: noSecondAddress()})
	}
	w.family, _, err = r.family()
	return w, also, err
}

// noSecondAddress says that there will be no IPv6 address beside the IPv4 one (RFC 8656 section 18.12).
func noSecondAddress() []byte {
	return append([]byte{numberIPv6, 0, 4, 40}, "Address Family not Supported"...)
}

// family reads REQUESTED-ADDRESS-FAMILY, and whether there is one. The default is IPv4.
func (r *request) family() (family, bool, error) {
	value, ok := r.getSized(stun.AttrRequestedAddressFamily, 4)
	switch {
	case !ok:
		return ipv4, false, nil
	case value[0] == numberIPv4:
		return ipv4, true, nil
	case value[0] == numberIPv6:
		return ipv6, true, nil
	}
	return 0, false, refuse(stun.CodeAddrFamilyNotSupported)
}

// lifetime reads LIFETIME: what is asked for, or the default if that is longer. Only Refresh may ask for 0.
func (r *request) lifetime() time.Duration {
	value, ok := r.getSized(stun.AttrLifetime, 4)
	if !ok {
		return defaultLifetime
	}
	asked := time.Duration(binary.BigEndian.Uint32(value)) * time.Second
	if asked == 0 && r.message.Type.Method == stun.MethodRefresh {
		return 0
	}
	return max(asked, defaultLifetime)
}

// longest is the longest lifetime that an allocation can get now, in whole seconds: what is left of MaxLifetime, and not
// more than the default while the server drains, which waits for those whose client has vanished.
func (g *guard) longest(a *allocation) time.Duration {
	longest := longestLifetime
	if g.alternate.Load() != nil {
		longest = defaultLifetime
	}
	left := g.server.MaxLifetime - g.server.auth.now().Sub(a.opened)
	return min(longest, (left + time.Second - 1).Truncate(time.Second))
}

// refresh prolongs an allocation or ends it (RFC 8656 section 8.2).
func (g *guard) refresh(r *request) ([]byte, error) {
	family, hasFamily, err := r.family()
	lifetime := r.lifetime()
	switch {
	case r.isMalformed:
		return nil, refuse(stun.CodeBadRequest)
	case err != nil:
		return nil, err
	case hasFamily && family != familyOf(r.allocation.local.Addr()):
		return nil, refuse(stun.CodePeerAddrFamilyMismatch)
	}
	if lifetime > 0 {
		lifetime = min(lifetime, g.longest(r.allocation))
		if lifetime <= 0 { // its timer comes in less than a second
			r.allocation.end()
			return nil, refuse(stun.CodeAllocMismatch)
		}
	}
	if err := g.server.control.refresh(r.allocation, lifetime); err != nil {
		return nil, err
	}
	return r.respond(stun.ClassSuccessResponse, lifetimeOf(lifetime)), nil
}

// refused turns an error of Server.open into a refusal, and logs it, once a second at most: a client can ask again and
// again.
func (g *guard) refused(r *request, err error) error {
	if now := g.server.auth.now().Unix(); g.warned.Swap(now) != now {
		g.server.Logger.Warn("allocation refused", "user", r.signer.user, "client", r.client.client, "err", err)
	}
	switch {
	case errors.Is(err, errKicked):
		r.signer = identity{} // a challenge is not signed
		return g.challenge(r, stun.CodeUnauthorized)
	case errors.Is(err, errDraining):
		return g.elsewhere(r)
	case errors.Is(err, errUserQuota), errors.Is(err, errUserRate):
		return refuse(stun.CodeAllocQuotaReached)
	case errors.Is(err, errFamily):
		return refuse(stun.CodeAddrFamilyNotSupported)
	case errors.Is(err, errFull), errors.Is(err, errNoPort), errors.Is(err, errNoToken):
		return refuse(stun.CodeInsufficientCapacity)
	}
	return err
}

// elsewhere sends a client to the other server, if there is one that it can reach (RFC 8489 section 10). It asks there over
// the same transport: at that port nobody may speak TLS or DTLS, and no name was told that a certificate could have.
func (g *guard) elsewhere(r *request) error {
	alternate, transport := g.alternate.Load(), r.client.transport
	if alternate == nil || !alternate.IsValid() || transport != UDP && transport != TCP || familyOf(alternate.Addr()) != familyOf(r.client.client.Addr()) {
		return refuse(stun.CodeAllocQuotaReached)
	}
	return refuse(stun.CodeTryAlternate, &stun.AlternateServer{IP: alternate.Addr().AsSlice(), Port: int(alternate.Port())})
}

// opened tells of an allocation of which the client is about to be told.
func (g *guard) opened(a *allocation) {
	s := g.server
	if a.client.conn != nil {
		a.client.conn.Keep(true)
		if a.hasEnded() { // a moment ago, so that the end may have come before
			a.client.conn.Keep(false)
		}
	}
	if a.owner.username == s.auth.probe.name {
		if _, waits := s.guard.strangers.excepted.Load(a.client.client); !waits { // Check has gone
			a.end()
		}
		return
	}
	s.created.Add(1)
	level := slog.LevelInfo
	if g.told.Take(a.owner.user, 1) > 0 { // no user fills a disk
		level = slog.LevelDebug
	}
	s.Logger.Log(context.Background(), level, "allocation", "user", a.owner.user, "client", a.client.client, "transport", a.client.transport, "relay", a.public)
	s.Allocated(a.owner.user, a.client.client, a.public)
}
