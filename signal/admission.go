package signal

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/listen"
)

// admission counts the connections that have not logged in: all of them from the
// moment they are accepted, those that never speak TLS, HTTP or the protocol
// included, and those of one address from when that is known.
type admission struct {
	max, maxPerAddress int // set at construction
	proxies            *listen.Proxies
	log                *slog.Logger

	mu      sync.Mutex
	pending int
	byAddr  map[netip.Prefix]int
}

// place is where a connection is counted. Guarded by admission.mu.
type place struct{ group netip.Prefix } // the zero Prefix: by no address

func newAdmission(max, maxPerAddress int, proxies *listen.Proxies, log *slog.Logger) *admission {
	return &admission{max: max, maxPerAddress: maxPerAddress, proxies: proxies, log: log, byAddr: map[netip.Prefix]int{}}
}

// enter counts one connection in, or reports that there is no room for it.
func (a *admission) enter() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending >= a.max {
		return false
	}
	a.pending++
	return true
}

// settle counts a connection at its client's address, or reports that there are
// too many from there.
func (a *admission) settle(s *socket, client netip.Addr) bool {
	group := limit.Group(client)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case s.place == nil, s.place.group == group:
		return true
	case a.byAddr[group] >= a.maxPerAddress:
		return false
	}
	a.forgetLocked(s.place.group)
	s.place.group = group
	a.byAddr[group]++
	return true
}

// leave ends the counting; later calls do nothing.
func (a *admission) leave(s *socket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.place != nil {
		a.pending--
		a.forgetLocked(s.place.group)
		s.place = nil
	}
}

func (a *admission) forgetLocked(group netip.Prefix) {
	if a.byAddr[group]--; a.byAddr[group] <= 0 {
		delete(a.byAddr, group)
	}
}

func (a *admission) size() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pending
}

// listen returns l with every connection counted until it is admitted or closed.
func (a *admission) listen(l net.Listener) net.Listener {
	return &countingListener{l, a}
}

type countingListener struct {
	net.Listener
	admission *admission
}

// Accept returns the next connection if there is room. It does not ask whose it
// is: behind a proxy one would have to wait for that.
func (l *countingListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) { // no descriptors left, mostly: it is tried again
				l.admission.log.Warn("connections are not accepted", "err", err)
			}
			return nil, err
		}
		if l.admission.enter() {
			return newSocket(nc, l.admission), nil
		}
		nc.Close()
	}
}
