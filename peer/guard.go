package peer

import (
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v4"
)

// A candidate may name anybody's address, and ICE sends checks there. So that a call
// cannot be used to flood a third party, all that goes to an address before it has
// answered a check is paid for by what the other side sent: amplification bytes for each
// byte of its descriptions and candidates, and of its own checks. QUIC has the same rule
// (RFC 9000, section 8.1). An address that answers is a party to the call, and everything
// may go there.
const (
	amplification = 3
	maxRemotes    = 64 // addresses of the other side, per set of its credentials

	// A path is checked again after this time, which doubles from the second check on:
	// what is lost early is made up for early, and what is left lasts for a slow other side.
	firstCheckInterval = 150 * time.Millisecond // pion's rounds are 200 ms apart
	maxCheckInterval   = time.Second
)

// guard keeps the rule for all sockets of a link. Its methods may be called from any
// goroutine.
type guard struct {
	mu             sync.Mutex
	localPassword  string // of ICE: the other side's checks are made with it
	remotePassword string // and its answers with this
	credit         int    // bytes that may go to any address
	remotes        map[netip.AddrPort]*remoteAddr
	refused        uint64 // packets that were not sent
}

// remoteAddr is an address of the other side, or one that it claims to be its own.
type remoteAddr struct {
	answered bool
	credit   int // bytes that may go to this address alone
	paths    map[any]*checkedPath
}

// checkedPath is one of our sockets, or relays, and an address.
type checkedPath struct {
	ids  [8][stun.TransactionIDSize]byte // of the latest checks
	sent int
	next time.Time // no check before
}

// described takes note of a description that says the other side's password, and reports
// whether it is another than before: new credentials begin a new set of addresses.
func (g *guard) described(remotePassword string, bytes int) (restarted bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.credit += amplification * bytes
	if g.remotePassword == remotePassword {
		return false
	}
	g.remotePassword = remotePassword
	clear(g.remotes)
	return true
}

// describes takes note of our own description.
func (g *guard) describes(localPassword string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.localPassword = localPassword
}

// expect takes note of a candidate, which pays for its own checks.
func (g *guard) expect(addr netip.AddrPort, bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.remoteLocked(addr); r != nil {
		r.credit += amplification * bytes
	}
}

// remoteLocked returns what is known of an address, or nil if there are too many.
func (g *guard) remoteLocked(addr netip.AddrPort) *remoteAddr {
	r := g.remotes[addr]
	if r == nil && len(g.remotes) < maxRemotes {
		if g.remotes == nil {
			g.remotes = map[netip.AddrPort]*remoteAddr{}
		}
		r = &remoteAddr{paths: map[any]*checkedPath{}}
		g.remotes[addr] = r
	}
	return r
}

// outgoing reports whether a packet may leave through a socket. All but ICE's own goes
// over pairs that answered, so nothing else is looked at.
func (g *guard) outgoing(socket any, to netip.AddrPort, packet []byte) bool {
	m := decodeCheck(packet)
	if m == nil || m.Type.Class == stun.ClassRequest && !m.Contains(stun.AttrUsername) {
		return true // or a question to a STUN server
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	to = plainAddr(to)
	r := g.remoteLocked(to)
	ok := r != nil && (r.answered || g.payLocked(r, m, socket, len(packet)+headerSize(to)))
	if !ok {
		g.refused++
	}
	return ok
}

// payLocked charges a packet to the address that it goes to, or to what all share.
func (g *guard) payLocked(r *remoteAddr, m *stun.Message, socket any, size int) bool {
	path := r.path(socket)
	now := time.Now()
	if m.Type.Class == stun.ClassRequest && now.Before(path.next) {
		return false
	}
	switch {
	case r.credit >= size:
		r.credit -= size
	case g.credit >= size:
		g.credit -= size
	default:
		return false
	}
	if m.Type.Class == stun.ClassRequest {
		path.checked(m.TransactionID, now)
	}
	return true
}

func (r *remoteAddr) path(socket any) *checkedPath {
	path := r.paths[socket]
	if path == nil {
		path = &checkedPath{}
		r.paths[socket] = path
	}
	return path
}

func (p *checkedPath) checked(id [stun.TransactionIDSize]byte, now time.Time) {
	p.ids[p.sent%len(p.ids)] = id
	p.next = now.Add(min(maxCheckInterval, firstCheckInterval<<min(max(0, p.sent-1), 8)))
	p.sent++
}

func (p *checkedPath) asked(id [stun.TransactionIDSize]byte) bool {
	for i := range min(p.sent, len(p.ids)) {
		if p.ids[i] == id {
			return true
		}
	}
	return false
}

// incoming takes note of a packet that came to a socket, and reports whether it may be
// used. Addresses that pion would learn from checks are bounded here.
func (g *guard) incoming(socket any, from netip.AddrPort, packet []byte) bool {
	m := decodeCheck(packet)
	if m == nil {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	from = plainAddr(from)
	switch m.Type.Class {
	case stun.ClassSuccessResponse:
		g.answeredLocked(socket, from, m)
	case stun.ClassRequest:
		return g.checkedLocked(socket, from, m, len(packet)+headerSize(from))
	}
	return true
}

// answeredLocked believes an address that answered one of our checks: only who got it
// knows its transaction id, and only the other side can have made the answer. A STUN
// server answers as well, but not so.
func (g *guard) answeredLocked(socket any, from netip.AddrPort, m *stun.Message) {
	r := g.remotes[from]
	if r == nil || r.answered {
		return
	}
	if path := r.paths[socket]; path != nil && path.asked(m.TransactionID) && g.signedLocked(m, g.remotePassword) {
		r.answered, r.paths = true, nil
	}
}

// checkedLocked lets our answer to a check, and the check that it triggers, go at once.
func (g *guard) checkedLocked(socket any, from netip.AddrPort, m *stun.Message, size int) bool {
	if r := g.remotes[from]; r != nil && r.answered || !g.signedLocked(m, g.localPassword) {
		return true // pion refuses what is not signed
	}
	r := g.remoteLocked(from)
	if r == nil {
		return false
	}
	r.credit += amplification * size
	r.path(socket).next = time.Time{}
	return true
}

// signedLocked checks the signature. Two sides with the same password would believe the
// echo of their own packets.
func (g *guard) signedLocked(m *stun.Message, password string) bool {
	return password != "" && g.localPassword != g.remotePassword && stun.NewShortTermIntegrity(password).Check(m) == nil
}

// decodeCheck returns a packet that is a STUN Binding message, or nil.
func decodeCheck(packet []byte) *stun.Message {
	if !isCheck(packet) {
		return nil
	}
	m := &stun.Message{Raw: append([]byte(nil), packet...)}
	if m.Decode() != nil {
		return nil
	}
	return m
}

// isCheck reports whether a packet has the type of a STUN Binding message.
func isCheck(packet []byte) bool {
	return len(packet) >= 2 && packet[0] <= 1 && packet[1]&^0x10 == 1 && stun.IsMessage(packet)
}

// headerSize returns the bytes of the IP and UDP headers.
func headerSize(addr netip.AddrPort) int {
	if addr.Addr().Is4() {
		return 20 + 8
	}
	return 40 + 8
}

// plainAddr makes equal what names the same address.
func plainAddr(addr netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}
