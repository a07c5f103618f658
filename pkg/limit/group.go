package limit

import "net/netip"

// Group is the unit in which addresses are counted: an IPv4 address, or the /56 that a home or office gets of IPv6.
// IPv4 mapped to IPv6 is IPv4, and zones do not count. The group of an invalid address is the zero Prefix.
func Group(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 56
	}
	prefix, _ := addr.Prefix(bits) // bits fit the family
	return prefix
}

// groupLevels are the prefix lengths at which addresses are told apart, the widest first.
func groupLevels(addr netip.Addr) []int {
	if addr.Is6() {
		return []int{32, 48, 56}
	}
	return []int{24, 32}
}
