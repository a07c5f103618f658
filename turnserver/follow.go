package turnserver

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/sigctl/sigctl/pkg/hostaddr"
)

const (
	// retryAddresses is how soon an address is tried again that could not be bound: it may be
	// tentative, on an interface that is down, or in use by another program.
	retryAddresses = 5 * time.Second

	// goneAfter is how long an address must be gone until its sockets and allocations are closed.
	// Those of an address that comes back before, as when a DHCP client restarts, go on.
	goneAfter = time.Minute
)

// Addresses are those of this machine. A hostaddr.Watcher is one.
type Addresses interface {
	Current() []hostaddr.Address
	Watch() (changed <-chan struct{}, stop func())
}

// netsOf returns the networks of this machine, each as its own address there with the network's
// length.
func netsOf(addresses []hostaddr.Address) []netip.Prefix {
	nets := make([]netip.Prefix, len(addresses))
	for i, a := range addresses {
		nets[i] = a.Prefix
	}
	return nets
}

// follow adopts this machine's addresses as they change, until ctx ends or the server is closed.
func (s *Server) follow(ctx context.Context) {
	changed, stop := s.Addresses.Watch()
	defer stop()
	retry := time.NewTicker(retryAddresses)
	defer retry.Stop()
	for {
		s.adoptAddresses()
		select {
		case <-changed:
		case <-retry.C:
		case <-ctx.Done():
			return
		case <-s.closing:
			return
		}
	}
}

// adoptAddresses makes policy, listeners and relayed addresses those of this machine's addresses as
// they are now. The policy comes first: an address is no peer any more before anything else
// happens.
func (s *Server) adoptAddresses() {
	nets := netsOf(s.Addresses.Current())
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	before := s.policy.Load().host.nets
	s.setHostLocked(nets)
	gone := s.noteGoneLocked(before, nets, s.auth.now())
	for _, l := range s.listeners {
		l.openMissingLocked(nets)
		l.closeGoneLocked(gone)
	}
	s.setHostLocked(nets) // what is served now
	s.mu.Unlock()
	for _, a := range s.allocations.on(gone) {
		a.end()
	}
}

// setHostLocked puts a policy in force that knows this machine's addresses. With it all that is
// known of peers is looked up again, also for the flows that are open.
func (s *Server) setHostLocked(nets []netip.Prefix) {
	p := *s.policy.Load()
	host := s.hostAddresses(nets)
	if host.equal(&p.host) {
		return
	}
	p.version++
	p.host = host
	s.policy.Store(&p)
}

// noteGoneLocked keeps account of the addresses that this machine had, and returns those that have
// been gone for goneAfter.
func (s *Server) noteGoneLocked(before, nets []netip.Prefix, now time.Time) (gone []netip.Addr) {
	for _, prefix := range before {
		if _, noted := s.gone[prefix.Addr()]; !noted {
			s.gone[prefix.Addr()] = now
		}
	}
	for _, prefix := range nets {
		delete(s.gone, prefix.Addr())
	}
	for ip, since := range s.gone {
		if now.Sub(since) >= goneAfter {
			delete(s.gone, ip)
			gone = append(gone, ip)
		}
	}
	return gone
}

// openMissingLocked opens places at addresses that have come, and serves them if the server does.
func (l *listener) openMissingLocked(nets []netip.Prefix) {
	for _, ip := range l.wanted(nets) {
		if slices.ContainsFunc(l.places, func(p *place) bool { return p.ip == ip }) {
			continue
		}
		p, err := l.open(ip)
		if err != nil {
			l.note(ip, err)
			continue
		}
		delete(l.faults, ip)
		l.server.Logger.Info("clients are served at another address", "addr", ip, "port", l.address.Port(), "transport", l.transport)
		if l.server.serving {
			l.start(p)
		}
	}
}

// closeGoneLocked closes a wildcard's places at addresses that are gone for good.
func (l *listener) closeGoneLocked(gone []netip.Addr) {
	if !l.address.Addr().IsUnspecified() {
		return
	}
	l.places = slices.DeleteFunc(l.places, func(p *place) bool {
		if !slices.Contains(gone, p.ip) {
			return false
		}
		p.close()
		return true
	})
	for _, ip := range gone {
		delete(l.faults, ip)
	}
}

// hostAddresses returns what the policy must know of this machine and server. It is called with mu
// held, or before others know the server.
func (s *Server) hostAddresses(nets []netip.Prefix) hostAddresses {
	h := hostAddresses{nets: nets, reserved: s.Reserved}
	for _, l := range s.listeners {
		h.listenPorts = append(h.listenPorts, l.address.Port())
		h.listenIPs = appendNew(h.listenIPs, l.ips(nets)...)
		h.served = appendNew(h.served, l.servedIPs(nets)...)
	}
	for f, at := range s.external {
		if at.local.IsValid() {
			h.relayIPs = append(h.relayIPs, at.local, at.public)
			continue
		}
		for _, ip := range h.served { // see relayAt
			if familyOf(ip) == family(f) {
				h.relayIPs = append(h.relayIPs, ip)
			}
		}
	}
	return h
}

// ips returns the addresses at which the listener has places, or will have.
func (l *listener) ips(nets []netip.Prefix) []netip.Addr {
	if ip := l.address.Addr(); !ip.IsUnspecified() {
		return []netip.Addr{ip}
	}
	return addressesOf(nets, familyOf(l.address.Addr()))
}

// servedIPs returns those of ips at which the listener has places.
func (l *listener) servedIPs(nets []netip.Prefix) []netip.Addr {
	return slices.DeleteFunc(l.ips(nets), func(ip netip.Addr) bool {
		return !slices.ContainsFunc(l.places, func(p *place) bool { return p.ip == ip || p.ip.IsUnspecified() })
	})
}

func appendNew(list []netip.Addr, ips ...netip.Addr) []netip.Addr {
	for _, ip := range ips {
		if !slices.Contains(list, ip) {
			list = append(list, ip)
		}
	}
	return list
}

func (h *hostAddresses) equal(other *hostAddresses) bool {
	return slices.Equal(h.nets, other.nets) && slices.Equal(h.listenIPs, other.listenIPs) &&
		slices.Equal(h.listenPorts, other.listenPorts) && slices.Equal(h.served, other.served) &&
		slices.Equal(h.relayIPs, other.relayIPs) && slices.Equal(h.reserved, other.reserved)
}
