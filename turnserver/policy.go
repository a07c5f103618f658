package turnserver

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
)

// defaultDeny lists, by the registries of special addresses (RFC 6890 and its updates), what a relay for the public
// must not reach: the machine itself, its networks, and the IPv6 forms that hide an IPv4 address. Of IPv6 nothing is
// public but 2000::/3.
func defaultDeny() []netip.Prefix {
	return prefixes(
		"0.0.0.0/8",        // this network, unspecified
		"10.0.0.0/8",       // private
		"100.64.0.0/10",    // carrier-grade NAT
		"127.0.0.0/8",      // loopback
		"168.63.129.16/32", // a cloud's metadata at a public address (Azure)
		"169.254.0.0/16",   // link-local, cloud metadata
		"172.16.0.0/12",    // private
		"192.0.0.0/24",     // protocol assignments
		"192.0.2.0/24",     // documentation
		"192.88.99.0/24",   // 6to4 relays
		"192.168.0.0/16",   // private
		"198.18.0.0/15",    // benchmarking
		"198.51.100.0/24",  // documentation
		"203.0.113.0/24",   // documentation
		"224.0.0.0/4",      // multicast
		"240.0.0.0/4",      // reserved, broadcast
		"::/3",             // unassigned, and in it: unspecified, loopback, IPv4-compatible and -translated, NAT64, discard
		"2001::/23",        // protocol assignments: Teredo, benchmarking, ORCHID
		"2001:db8::/32",    // documentation
		"2002::/16",        // 6to4
		"3fff::/20",        // documentation
		"4000::/2",         // unassigned
		"8000::/1",         // unassigned, and in it: private, link-local, site-local, multicast
	)
}

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// policy says which peers may be reached. It never changes: when the peer lists or this machine's addresses
// change, another policy takes its place, with another version.
type policy struct {
	version              uint64
	allow, deny, special []netip.Prefix
	host                 hostAddresses
}

// hostAddresses are those of this machine and server.
type hostAddresses struct {
	relayIPs    []netip.Addr   // of this server, in both forms: their other ports are this machine's services
	nets        []netip.Prefix // of this machine's interfaces, each with the address there
	listenIPs   []netip.Addr   // where the server listens, or will as soon as it can
	served      []netip.Addr   // those of listenIPs where it does
	listenPorts []uint16
	reserved    []netip.AddrPort
}

// verdict remembers what the policy said of one address of peers, until the policy is another one.
type verdict struct{ atomic.Uint64 } // version<<1, and 1 if the address is permitted

// permits is policy.permits for a peer at that address.
func (v *verdict) permits(p *policy, peer netip.AddrPort) bool {
	known := v.Load()
	if known>>1 != p.version {
		known = p.version << 1
		if p.permitsIP(peer.Addr()) {
			known |= 1
		}
		v.Store(known)
	}
	return known&1 == 1 && p.permitsPort(peer)
}

// permitsIP reports whether a peer at ip may be reached at any port, relays of this server apart.
func (p *policy) permitsIP(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	switch {
	case !ip.IsValid(), p.isNoSingleHost(ip), contains(p.deny, ip):
		return false
	case contains(p.allow, ip):
		return true
	}
	return !contains(p.special, ip) && !slices.Contains(p.host.relayIPs, ip) && !p.isThisHost(ip)
}

// isThisHost: what a firewall keeps from others is open to us, at public addresses too.
func (p *policy) isThisHost(ip netip.Addr) bool {
	return slices.ContainsFunc(p.host.nets, func(prefix netip.Prefix) bool { return prefix.Addr() == ip || isRouter(prefix, ip) })
}

// isRouter reports whether ip is the first address of an IPv6 network: whoever forwards there, which may be this host,
// has it, too (RFC 4291 section 2.6.1). Networks of one or two addresses have none (RFC 6164).
func isRouter(prefix netip.Prefix, ip netip.Addr) bool {
	return prefix.Addr().Is6() && prefix.Bits() < 127 && ip == prefix.Masked().Addr()
}

// isNoSingleHost: no list can allow these. One packet would reach all machines of a network, or, with the unspecified
// address, this one under a name that isListener does not know.
func (p *policy) isNoSingleHost(ip netip.Addr) bool {
	return ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) ||
		slices.ContainsFunc(p.host.nets, func(prefix netip.Prefix) bool { return isBroadcast(prefix, ip) })
}

// isBroadcast reports whether ip is the last address of an IPv4 network, or the first, which some kernels take for
// one. Networks of one or two addresses have none (RFC 3021).
func isBroadcast(prefix netip.Prefix, ip netip.Addr) bool {
	return ip.Is4() && prefix.Bits() < 31 && prefix.Contains(ip) &&
		(ip == prefix.Masked().Addr() || !prefix.Contains(ip.Next()))
}

// permits reports whether packets may go to and come from peer, which is not a relay of this server.
func (p *policy) permits(peer netip.AddrPort) bool {
	return p.permitsIP(peer.Addr()) && p.permitsPort(peer)
}

// permitsPort is what the port adds to permitsIP.
func (p *policy) permitsPort(peer netip.AddrPort) bool {
	return peer.Port() != 0 && !p.isListener(peer)
}

// isListener: no list can allow these, or a client could make the server talk to itself.
func (p *policy) isListener(peer netip.AddrPort) bool {
	ip := peer.Addr().Unmap()
	if slices.ContainsFunc(p.host.reserved, func(r netip.AddrPort) bool {
		return r.Port() == peer.Port() && (r.Addr() == ip || r.Addr().IsUnspecified() && (ip.IsLoopback() || p.isThisHost(ip)))
	}) {
		return true
	}
	return slices.Contains(p.host.listenPorts, peer.Port()) &&
		(slices.Contains(p.host.listenIPs, ip) || slices.Contains(p.host.relayIPs, ip))
}

// mayHavePermission reports whether a client may ask for a permission for ip. That of a relay of this server is
// granted before its port is known; the packets are then checked one by one.
func (p *policy) mayHavePermission(ip netip.Addr) bool {
	ip = ip.Unmap()
	return p.isRelayIP(ip) || p.permitsIP(ip)
}

// isRelayIP reports whether this server relays at ip, in either form.
func (p *policy) isRelayIP(ip netip.Addr) bool { return slices.Contains(p.host.relayIPs, ip) }

func canonicalPrefixes(list []netip.Prefix) ([]netip.Prefix, error) {
	canonical := make([]netip.Prefix, len(list))
	faults := make([]error, len(list))
	for i, prefix := range list {
		canonical[i], faults[i] = canonicalPrefix(prefix)
	}
	return canonical, errors.Join(faults...)
}

func contains(list []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(list, func(prefix netip.Prefix) bool { return prefix.Contains(ip) })
}

// canonicalPrefix turns a prefix of IPv4 addresses in IPv6 form into the IPv4 one, which is what is looked up.
func canonicalPrefix(prefix netip.Prefix) (netip.Prefix, error) {
	if !prefix.IsValid() {
		return prefix, fmt.Errorf("peer list: %v is not a CIDR", prefix)
	}
	if !prefix.Addr().Is4In6() {
		return prefix.Masked(), nil
	}
	if prefix.Bits() < 96 {
		return prefix, fmt.Errorf("peer list: %v holds more than IPv4 addresses in IPv6 form: write the IPv4 CIDR", prefix)
	}
	return netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96).Masked(), nil
}
