package turnserver

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"
)

// family is one of IP's.
type family int

const (
	ipv4 family = iota
	ipv6
	families
)

func familyOf(a netip.Addr) family {
	if a.Unmap().Is4() {
		return ipv4
	}
	return ipv6
}

// Transport is what carries messages between a client and the relay.
type Transport uint8

// The transports.
const (
	UDP Transport = iota
	TCP
	TLS  // over TCP
	DTLS // over UDP
)

func (t Transport) String() string { return [...]string{"UDP", "TCP", "TLS", "DTLS"}[t] }

// fiveTuple names a client's transport to us (RFC 8656 section 2).
type fiveTuple struct {
	client, server netip.AddrPort
	transport      Transport
	conn           uint64 // behind a proxy several connections may have all else in common; 0: UDP
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// addressesOf returns each address of a family once, since several interfaces may share one; those that need a zone
// to be reached are left out.
func addressesOf(nets []netip.Prefix, f family) []netip.Addr {
	var ips []netip.Addr
	for _, prefix := range nets {
		if ip := prefix.Addr(); familyOf(ip) == f && !slices.Contains(ips, ip) && !(ip.Is6() && ip.IsLinkLocalUnicast()) {
			ips = append(ips, ip)
		}
	}
	return ips
}

// wsaEADDRNOTAVAIL is what Windows says; syscall.EADDRNOTAVAIL is a number of Go's own there. It is no error elsewhere.
const wsaEADDRNOTAVAIL = syscall.Errno(10049)

// hintUnavailable says what isUnavailable may mean at an address that is listed.
const hintUnavailable = "the relay tries again: an IPv6 address that has just come up can be used after some seconds; change one that is a duplicate (dadfailed)"

// isUnavailable reports whether an address could not be bound because this machine does not have it, or does not use it yet:
// an IPv6 one is listed, but cannot be bound, while it is tentative and if another machine has it (RFC 4862 section 5.4).
func isUnavailable(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, wsaEADDRNOTAVAIL)
}
