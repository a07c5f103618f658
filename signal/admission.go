package signal

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
)

// admission counts the connections that have not logged in, from the moment they
// are accepted: those that never speak TLS, HTTP or the protocol included.
type admission struct {
	max, maxPerAddress int

	mu      sync.Mutex
	pending int
	byAddr  map[netip.Prefix]int
}

func newAdmission(max, maxPerAddress int) *admission {
	return &admission{max: max, maxPerAddress: maxPerAddress, byAddr: map[netip.Prefix]int{}}
}

// enter counts one connection in, or reports that there is no room for it.
func (a *admission) enter(from netip.Prefix) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending >= a.max || a.byAddr[from] >= a.maxPerAddress {
		return false
	}
	a.pending++
	a.byAddr[from]++
	return true
}

func (a *admission) leave(from netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending--
	if a.byAddr[from]--; a.byAddr[from] == 0 {
		delete(a.byAddr, from)
	}
}

func (a *admission) size() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pending
}

// listen returns l with every connection counted until it is admitted or closed.
func (a *admission) listen(l net.Listener, log *slog.Logger) net.Listener {
	return &countingListener{l, a, log}
}

type countingListener struct {
	net.Listener
	admission *admission
	log       *slog.Logger
}

// Accept returns the next connection for which there is room.
func (l *countingListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) { // no descriptors left, mostly: it is tried again
				l.log.Warn("connections are not accepted", "err", err)
			}
			return nil, err
		}
		from := addressGroup(nc.RemoteAddr())
		if l.admission.enter(from) {
			return newSocket(nc, l.admission, from), nil
		}
		nc.Close()
	}
}

// addressGroup is the unit in which addresses are counted: an IPv4 address, or the /56
// that a home or office gets of IPv6.
func addressGroup(addr net.Addr) netip.Prefix {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip := ap.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 56
	}
	prefix, _ := ip.Prefix(bits) // bits fit the family
	return prefix
}
