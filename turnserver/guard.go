package turnserver

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/pion/stun/v3"

	"github.com/sigctl/sigctl/pkg/limit"
)

// guard answers the requests of clients. It checks their shape, who signs them and what they ask for, in the order of
// RFC 8489 section 9.2.4 and RFC 8656, and makes every error response itself; control gets only what passes. Many
// goroutines call it, but the requests of one client come one after the other.
type guard struct {
	// set at construction
	server    *Server
	nonces    *nonces
	strangers *strangers
	requests  sync.Pool              // of *request
	told      *limit.Buckets[string] // users' allocations that are logged at level Info

	alternate atomic.Pointer[netip.AddrPort] // set: nothing new is opened; the zero AddrPort: without naming another server
	warned    atomic.Int64                   // the second in which a refused allocation was last logged
}

func newGuard(s *Server) *guard {
	return &guard{
		server: s, nonces: newNonces(s.NonceLifetime, s.auth.now), strangers: newStrangers(),
		requests: sync.Pool{New: func() any { return new(request) }},
		told:     limit.NewBuckets[string](limit.Rate{PerSecond: 1, Burst: 100}, 1<<14),
	}
}

// handle returns the answer to a STUN message of a client, or nil. The message is the guard's until it returns; the answer
// is the caller's.
func (g *guard) handle(c *client, raw []byte) []byte {
	r := g.requests.Get().(*request)
	defer func() { r.reset(); g.requests.Put(r) }()
	r.client = c
	if !r.parse(raw) {
		c.listener.counters.drop(dropMalformed)
		return nil
	}
	if r.message.Type.Class != stun.ClassRequest {
		return nil
	}
	switch r.message.Type.Method {
	case stun.MethodBinding:
		return g.binding(r)
	case stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind:
		return g.turn(r)
	}
	c.listener.counters.drop(dropMalformed)
	return nil
}

// binding tells a client its address (RFC 8489 section 12).
func (g *guard) binding(r *request) []byte {
	if why := g.mayBind(r.client); why != accepted {
		r.client.listener.counters.drop(why)
		return nil
	}
	if unknown := r.unknown(); len(unknown) > 0 {
		return r.refuse(refuse(stun.CodeUnknownAttribute, unknown))
	}
	at := r.client.client
	return r.respond(stun.ClassSuccessResponse, stun.XORMappedAddress{IP: at.Addr().AsSlice(), Port: int(at.Port())})
}

// mayBind says why a client's Binding request is not answered, if so. Over a connection each is.
func (g *guard) mayBind(c *client) dropReason {
	if c.transport != UDP {
		return accepted
	}
	a := g.server.allocations.of(c.fiveTuple)
	switch {
	case a == nil && !g.strangers.mayBind(c.client):
		return dropStranger
	case a != nil && !a.bindings.take(g.server.allocations.bandwidth.now(), 1):
		return dropRequests
	}
	return accepted
}

// turn answers a request of TURN.
func (g *guard) turn(r *request) []byte {
	r.allocation = g.server.allocations.of(r.client.fiveTuple)
	if code := g.authenticate(r); code != 0 {
		return g.turnAway(r, code)
	}
	if r.isOwner && !g.admit(r) {
		r.client.listener.counters.drop(dropRequests)
		return nil
	}
	answer, err := g.perform(r)
	refused, ok := errors.AsType[*refusal](err)
	switch {
	case err == nil:
		return answer
	case ok:
		return r.refuse(refused)
	case errors.Is(err, net.ErrClosed): // the server ends
		return nil
	case r.allocation != nil && (r.allocation.hasEnded() || errors.Is(err, errControl)): // in the meantime; the library has forgotten it
		return r.refuse(refuse(stun.CodeAllocMismatch))
	}
	g.server.Logger.Error("request failed", "client", r.client.client, "method", r.message.Type.Method, "err", err)
	return r.refuse(refuse(stun.CodeServerError))
}

// admit reports whether the owner of an allocation may make a request now, see Config.RequestRate. What is beyond
// is dropped over UDP, where the client sends it again; over a connection it waits.
func (g *guard) admit(r *request) bool {
	length := len(r.message.Raw)
	if r.client.conn != nil {
		return r.allocation.awaitRequest(length)
	}
	return r.allocation.takeRequest(g.server.allocations.bandwidth.now(), length)
}

// turnAway refuses a request that is not authenticated. What it costs a stranger who is not there, or not whom the address
// says, has a bound: see strangers.
func (g *guard) turnAway(r *request, code stun.ErrorCode) []byte {
	isStranger := r.client.transport == UDP && r.allocation == nil
	if code == noAnswer || isStranger && !g.strangers.mayRefuse(r.client.client) {
		r.client.listener.counters.drop(dropStranger)
		return nil
	}
	if code == stun.CodeBadRequest {
		return r.refuse(refuse(code))
	}
	return r.refuse(g.challenge(r, code))
}

// challenge refuses a request, and says how to sign the next one.
func (g *guard) challenge(r *request, code stun.ErrorCode) *refusal {
	return refuse(code, stun.NewRealm(g.server.Realm), stun.NewNonce(g.nonces.issue(r.client.fiveTuple)))
}

// perform does what an authenticated request asks for.
func (g *guard) perform(r *request) ([]byte, error) {
	if unknown := r.unknown(); len(unknown) > 0 {
		return nil, refuse(stun.CodeUnknownAttribute, unknown)
	}
	if r.message.Type.Method == stun.MethodAllocate {
		return g.allocate(r)
	}
	if r.allocation == nil {
		return nil, refuse(stun.CodeAllocMismatch)
	}
	if !r.isOwner {
		return nil, refuse(stun.CodeWrongCredentials)
	}
	switch r.message.Type.Method {
	case stun.MethodRefresh:
		return g.refresh(r)
	case stun.MethodCreatePermission:
		return g.permit(r)
	default:
		return g.bind(r)
	}
}
