package signal

import (
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/listen"
)

// admission bounds the connections: those that have not signed in, from the moment they are
// accepted, those that never speak TLS, HTTP or the protocol included, and those that have.
type admission struct {
	// set at construction
	pending     *limit.Pending
	begun       *limit.Buckets[netip.Prefix] // connections, whatever becomes of them
	maxAdmitted int                          // 0: no bound
	proxies     *listen.Proxies
	log         *slog.Logger

	mu       sync.Mutex
	admitted int
	refused  map[string]uint64 // connections and requests, by reason
}

// The reasons for a refusal that are not of limit.Reason.
const (
	tooManySessions = "too_many_sessions"
	tooManyRequests = "too_many_requests"
)

func newAdmission(c *Config) *admission {
	a := &admission{
		pending: limit.NewPending(&limit.PendingOptions{
			Max: c.MaxPending, PerAddress: c.MaxPendingPerAddress, Known: c.Known,
		}),
		begun:       limit.NewBuckets[netip.Prefix](c.ConnsPerAddress, addressTable),
		maxAdmitted: c.MaxSessions, proxies: c.Proxies, log: c.Logger,
		refused: map[string]uint64{tooManySessions: 0, tooManyRequests: 0},
	}
	for _, why := range []limit.Reason{limit.TableFull, limit.AddressFull, limit.TooFast} {
		a.refused[why.String()] = 0
	}
	return a
}

// enter returns the socket of an accepted connection, or nil if there is no slot for it. It asks
// for no PROXY header: for that one would have to wait.
func (a *admission) enter(nc net.Conn) *socket {
	s := newSocket(nc, a)
	addr := listen.HostAddr(nc.RemoteAddr())
	if a.proxies.Trusts(addr) {
		addr = netip.Addr{} // until settle
	}
	slot, why := a.pending.Acquire(addr, a.mayBegin, s.evict)
	if why != limit.None {
		a.count(why.String())
		return nil
	}
	s.slot = slot
	return s
}

func (a *admission) mayBegin(addr netip.Addr) bool { return a.begun.Take(limit.Group(addr), 1) == 0 }

// settle counts a proxy's connection at its client's address from now on, or reports that there is
// no slot for it. It does nothing to other connections, and to those that have signed in.
func (a *admission) settle(s *socket, client netip.Addr) bool {
	a.mu.Lock()
	slot := s.slot
	a.mu.Unlock()
	why := slot.Move(client)
	if why != limit.None {
		a.count(why.String())
	}
	return why == limit.None
}

// admit counts s with those that have signed in, or reports that there are too many. Once the login
// is done prove follows, else withdraw.
func (a *admission) admit(s *socket) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.maxAdmitted > 0 && a.admitted >= a.maxAdmitted {
		a.refused[tooManySessions]++
		return false
	}
	s.admitted = true
	a.admitted++
	return true
}

// prove gives the slot of s back, since its client has signed in.
func (a *admission) prove(s *socket) {
	a.mu.Lock()
	slot := s.takeSlotLocked()
	a.mu.Unlock()
	slot.Prove()
}

// withdraw undoes admit. Without an admit before, it does nothing.
func (a *admission) withdraw(s *socket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.admitted {
		s.admitted = false
		a.admitted--
	}
}

// release gives the slot of s back: it is no connection of this server's any more.
func (a *admission) release(s *socket) {
	a.mu.Lock()
	slot := s.takeSlotLocked()
	a.mu.Unlock()
	slot.Release()
}

// leave gives back what s holds. Later calls do nothing.
func (a *admission) leave(s *socket) {
	a.release(s)
	a.withdraw(s)
}

// takeSlotLocked leaves s without a slot: those who have signed in need not hold on to its memory.
func (s *socket) takeSlotLocked() *limit.Slot {
	slot := s.slot
	s.slot = nil
	return slot
}

func (a *admission) count(why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused[why]++
}

func (a *admission) stats() (pending int, refused map[string]uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pending.Len(), maps.Clone(a.refused)
}

// listen returns l with every connection bounded until it is closed.
func (a *admission) listen(l net.Listener) net.Listener {
	return &boundedListener{l, a}
}

type boundedListener struct {
	net.Listener
	admission *admission
}

// Accept returns the next connection for which there is a slot.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) { // no descriptors left, mostly: it is tried again
				l.admission.log.Warn("connections are not accepted", "err", err)
			}
			return nil, err
		}
		if s := l.admission.enter(nc); s != nil {
			return s, nil
		}
		nc.Close()
	}
}
