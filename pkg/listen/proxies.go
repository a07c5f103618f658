package listen

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// DefaultHeader is the header that most proxies write.
const DefaultHeader = "X-Forwarded-For"

// Bounds of the header's value.
const (
	maxHops = 32
	maxHop  = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535")
)

// ProxyOptions says who the proxies are.
type ProxyOptions struct {
	// Trusted are the addresses of proxies. Whoever can connect from one of them can claim to be anybody. Default
	// none.
	Trusted []netip.Prefix

	// Header is the one HTTP header that holds the client's address: a list of addresses, to which each proxy adds
	// its own peer at the end, or a single address. A proxy that adds nothing must remove what a client sends.
	// Default DefaultHeader. Not together with PROXY: a connection that is passed through bears the headers that
	// its client wrote.
	Header string

	// PROXY demands that connections from Trusted begin with a PROXY header; HTTP headers then count for nothing.
	PROXY bool
}

// Proxies says which peers are proxies, and whom they speak for. A nil *Proxies trusts none. Its methods can be
// called at the same time.
type Proxies struct {
	trusted []netip.Prefix
	header  string // canonical; empty: none
	proxy   bool
}

// NewProxies checks options; nil means none trusted. The error names all that is wrong with them.
func NewProxies(options *ProxyOptions) (*Proxies, error) {
	if options == nil {
		options = &ProxyOptions{}
	}
	p := &Proxies{proxy: options.PROXY}
	var errs []error
	for _, prefix := range options.Trusted {
		plain, err := plainPrefix(prefix)
		p.trusted, errs = append(p.trusted, plain), append(errs, err)
	}
	switch {
	case options.PROXY && len(options.Trusted) == 0:
		errs = append(errs, errors.New("the PROXY protocol needs the addresses of trusted proxies: from all others its header does not count"))
	case options.PROXY && options.Header != "":
		errs = append(errs, fmt.Errorf("either the PROXY protocol or the header %s tells the client's address, not both: "+
			"behind a proxy that passes connections through, clients write that header themselves", options.Header))
	case !options.PROXY:
		header, err := headerName(options.Header)
		p.header, errs = header, append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

// plainPrefix returns prefix without the IPv4-mapped form, which no plain address is in.
func plainPrefix(prefix netip.Prefix) (netip.Prefix, error) {
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	switch {
	case !prefix.IsValid():
		return prefix, errors.New("a trusted proxy is no address range: want one like 192.0.2.1/32")
	case prefix.Addr().Is4In6():
		return prefix, fmt.Errorf("trusted proxies %s: write the range as IPv4", prefix)
	case prefix.Bits() == 0:
		return prefix, fmt.Errorf("trusted proxies %s: everybody could then claim to be anybody; name the proxies alone", prefix)
	case prefix != prefix.Masked():
		return prefix, fmt.Errorf("trusted proxies %s: write %s for the whole range, or %s for that address alone",
			prefix, prefix.Masked(), netip.PrefixFrom(prefix.Addr(), prefix.Addr().BitLen()))
	}
	return prefix, nil
}

// headerName checks the name of the header that holds addresses and returns its canonical form.
func headerName(name string) (string, error) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	switch {
	case name == "":
		return DefaultHeader, nil
	case strings.EqualFold(name, "Forwarded"):
		return "", fmt.Errorf("the header Forwarded (RFC 7239) has a syntax of its own that is not read here: "+
			"let the proxy write %s, and remove the Forwarded of clients", DefaultHeader)
	case strings.Trim(name, letters) != "":
		return "", fmt.Errorf("%q is not the name of one header: want one like %s", name, DefaultHeader)
	}
	return http.CanonicalHeaderKey(name), nil
}

// Trusts reports whether addr is a proxy's.
func (p *Proxies) Trusts(addr netip.Addr) bool {
	addr = plain(addr)
	return p != nil && slices.ContainsFunc(p.trusted, func(prefix netip.Prefix) bool { return prefix.Contains(addr) })
}

// Expects reports whether a connection from addr has to begin with a PROXY header; see ReadPROXY. Where it has not,
// the bytes of one are bytes like all others.
func (p *Proxies) Expects(addr netip.Addr) bool { return p != nil && p.proxy && p.Trusts(addr) }

// Client returns whom a request with the headers h comes from. Peer is where its connection comes from: the socket's
// address, or what its PROXY header said. If peer is a proxy, the addresses of the header are followed from the last
// one, which peer has added, back to the first that is not a proxy's. What is not an address ends the way at the
// last one known, as does the 32nd. The result is plain: not IPv4-mapped, without a zone.
func (p *Proxies) Client(peer netip.Addr, h http.Header) netip.Addr {
	client := plain(peer)
	if p == nil || p.header == "" || !p.Trusts(client) {
		return client
	}
	n := 0
	for _, line := range slices.Backward(h[p.header]) {
		for more := true; more; n++ {
			var hop string
			line, hop, more = cutLast(line)
			addr, ok := parseHop(hop)
			if !ok || n == maxHops {
				return client
			}
			if client = addr; !p.Trusts(client) {
				return client
			}
		}
	}
	return client
}

// cutLast splits the last element off a list.
func cutLast(list string) (before, last string, more bool) {
	i := strings.LastIndexByte(list, ',')
	return list[:max(i, 0)], list[i+1:], i >= 0
}

// parseHop parses an address, which may have a port and brackets.
func parseHop(hop string) (netip.Addr, bool) {
	hop = strings.Trim(hop, " \t")
	if len(hop) > maxHop {
		return netip.Addr{}, false
	}
	if ap, err := netip.ParseAddrPort(hop); err == nil {
		return plain(ap.Addr()), ap.Addr().Zone() == "" // a zone means something on the proxy only
	}
	if inner, ok := strings.CutPrefix(hop, "["); ok {
		if hop, ok = strings.CutSuffix(inner, "]"); !ok {
			return netip.Addr{}, false
		}
	}
	addr, err := netip.ParseAddr(hop)
	return plain(addr), err == nil && addr.Zone() == ""
}

// HostAddr returns the IP address of a socket's address, plain as [Proxies.Client] returns it; the zero Addr if it
// has none.
func HostAddr(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case nil:
		return netip.Addr{}
	case *net.TCPAddr:
		return plain(a.AddrPort().Addr())
	}
	ap, _ := netip.ParseAddrPort(a.String()) // without one: zero
	return plain(ap.Addr())
}

// plain makes one address out of the forms that it may have.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }
