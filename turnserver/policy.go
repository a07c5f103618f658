package turnserver

import (
	"fmt"
	"net/netip"
	"slices"
)

// defaultDeny lists, by the registries of special addresses (RFC 6890 and its updates), what a relay for the public
// must not reach: the machine itself, its networks, and the IPv6 forms that hide an IPv4 address.
func defaultDeny() []netip.Prefix {
	return prefixes(
		"0.0.0.0/8",       // this network, unspecified
		"10.0.0.0/8",      // private
		"100.64.0.0/10",   // carrier-grade NAT
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local, cloud metadata
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments
		"192.0.2.0/24",    // documentation
		"192.88.99.0/24",  // 6to4 relays
		"192.168.0.0/16",  // private
		"198.18.0.0/15",   // benchmarking
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, broadcast
		"::/96",           // unspecified, loopback, IPv4-compatible
		"::ffff:0:0:0/96", // IPv4-translated
		"64:ff9b::/96",    // NAT64
		"64:ff9b:1::/48",  // NAT64, local
		"100::/64",        // discard
		"2001::/32",       // Teredo
		"2001:2::/48",     // benchmarking
		"2001:db8::/32",   // documentation
		"2002::/16",       // 6to4
		"3fff::/20",       // documentation
		"fc00::/7",        // private
		"fe80::/10",       // link-local
		"fec0::/10",       // site-local
		"ff00::/8",        // multicast
	)
}

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// policy says which peers may be reached. It does not change after the start.
type policy struct {
	allow, deny, special []netip.Prefix
	relayIPs             []netip.Addr   // of this server, in both forms: their other ports are this machine's services
	hostNets             []netip.Prefix // of this machine's interfaces, each with the address there
	listenIPs            []netip.Addr
	listenPorts          []uint16
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
	return !contains(p.special, ip) && !slices.Contains(p.relayIPs, ip) && !p.isThisHost(ip)
}

// isThisHost: what a firewall keeps from others is open to us, at public addresses too.
func (p *policy) isThisHost(ip netip.Addr) bool {
	return slices.ContainsFunc(p.hostNets, func(prefix netip.Prefix) bool { return prefix.Addr() == ip })
}

// isNoSingleHost: no list can allow these. One packet would reach all machines of a network, or, with the unspecified
// address, this one under a name that isListener does not know.
func (p *policy) isNoSingleHost(ip netip.Addr) bool {
	return ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) ||
		slices.ContainsFunc(p.hostNets, func(prefix netip.Prefix) bool { return isBroadcast(prefix, ip) })
}

// isBroadcast reports whether ip is the last address of an IPv4 network, or the first, which some kernels take for
// one. Networks of one or two addresses have none (RFC 3021).
func isBroadcast(prefix netip.Prefix, ip netip.Addr) bool {
	return prefix.Bits() < 31 && prefix.Contains(ip) &&
		(ip == prefix.Masked().Addr() || !prefix.Contains(ip.Next()))
}

// permits reports whether packets may go to and come from peer, which is not a relay of this server.
func (p *policy) permits(peer netip.AddrPort) bool {
	return p.permitsIP(peer.Addr()) && peer.Port() != 0 && !p.isListener(peer)
}

// isListener: no list can allow these, or a client could make the server talk to itself.
func (p *policy) isListener(peer netip.AddrPort) bool {
	ip := peer.Addr().Unmap()
	return slices.Contains(p.listenPorts, peer.Port()) &&
		(slices.Contains(p.listenIPs, ip) || slices.Contains(p.relayIPs, ip))
}

// mayHavePermission reports whether a client may ask for a permission for ip. That of a relay of this server is
// granted before its port is known; the packets are then checked one by one.
func (p *policy) mayHavePermission(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.Is4() && (slices.Contains(p.relayIPs, ip) || p.permitsIP(ip)) // relays are IPv4, so are their peers
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
