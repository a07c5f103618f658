package listen

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

var addr = netip.MustParseAddr

func prefixes(list string) (all []netip.Prefix) {
	for text := range strings.FieldsSeq(list) {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func newProxies(t testing.TB, trusted, header string) *Proxies {
	t.Helper()
	p, err := NewProxies(&ProxyOptions{Trusted: prefixes(trusted), Header: header})
	if err != nil {
		t.Fatalf("new proxies: %v", err)
	}
	return p
}

func TestNewProxies(t *testing.T) {
	for _, tt := range []struct {
		options *ProxyOptions
		want    []string // in the error; none: no error
	}{
		{nil, nil},
		{&ProxyOptions{}, nil},
		{&ProxyOptions{Header: "X-Real-IP"}, nil},
		{&ProxyOptions{Trusted: prefixes("127.0.0.1/32 10.0.0.0/8 ::1/128 2001:db8::/32 ::ffff:10.1.0.0/112")}, nil},
		{&ProxyOptions{Trusted: prefixes("127.0.0.1/32"), PROXY: true}, nil},
		{&ProxyOptions{PROXY: true}, []string{"needs the addresses of trusted proxies"}},
		{&ProxyOptions{Trusted: prefixes("127.0.0.1/32"), PROXY: true, Header: "X-Forwarded-For"}, []string{"not both"}},
		{&ProxyOptions{Header: "forwarded"}, []string{"RFC 7239", "X-Forwarded-For"}},
		{&ProxyOptions{Header: "X-Forwarded-For, X-Real-IP"}, []string{"one header"}},
		{&ProxyOptions{Header: "X-Forwarded-For:"}, []string{"one header"}},
		{&ProxyOptions{Trusted: make([]netip.Prefix, 1)}, []string{"no address range"}},
		{&ProxyOptions{Trusted: prefixes("0.0.0.0/0 ::/0")}, []string{"0.0.0.0/0: everybody", "::/0: everybody"}},
		{&ProxyOptions{Trusted: prefixes("::ffff:0.0.0.0/96")}, []string{"0.0.0.0/0: everybody"}},
		{&ProxyOptions{Trusted: prefixes("::ffff:0.0.0.0/95")}, []string{"as IPv4"}},
		{&ProxyOptions{Trusted: prefixes("10.0.0.1/8")}, []string{"10.0.0.0/8", "10.0.0.1/32"}},
		{&ProxyOptions{Trusted: prefixes("10.0.0.1/8"), Header: "a b"}, []string{"10.0.0.1/8", "one header"}},
	} {
		p, err := NewProxies(tt.options)
		if (p == nil) != (len(tt.want) > 0) || (err == nil) == (p == nil) {
			t.Errorf("NewProxies(%+v) = %v, %v, want an error with %q", tt.options, p, err, tt.want)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("NewProxies(%+v): error %q, want %q in it", tt.options, err, want)
			}
		}
	}
}

func TestTrusts(t *testing.T) {
	trusting := newProxies(t, "10.0.0.0/8 2001:db8::/32 fe80::/10 ::ffff:192.0.2.0/120", "")
	for _, tt := range []struct {
		addr string
		want bool
	}{
		{"10.1.2.3", true},
		{"::ffff:10.1.2.3", true},
		{"192.0.2.200", true},
		{"2001:db8::1", true},
		{"fe80::1%eth0", true},
		{"11.0.0.1", false},
		{"::10.1.2.3", false},
		{"2001:db9::1", false},
	} {
		if got := trusting.Trusts(addr(tt.addr)); got != tt.want {
			t.Errorf("Trusts(%s) = %v, want %v", tt.addr, got, tt.want)
		}
	}
	var none *Proxies
	for _, p := range []*Proxies{none, {}} {
		if p.Trusts(addr("10.1.2.3")) || p.Trusts(netip.Addr{}) || p.Expects(addr("10.1.2.3")) {
			t.Errorf("%+v trusts somebody", p)
		}
	}
}

func TestExpects(t *testing.T) {
	for _, proxy := range []bool{true, false} {
		p, err := NewProxies(&ProxyOptions{Trusted: prefixes("10.0.0.0/8"), PROXY: proxy})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Expects(addr("::ffff:10.0.0.1")); got != proxy {
			t.Errorf("PROXY %v: a proxy: Expects = %v", proxy, got)
		}
		if p.Expects(addr("11.0.0.1")) {
			t.Errorf("PROXY %v: another: Expects = true", proxy)
		}
	}
}

func TestClient(t *testing.T) {
	const peer, trusted = "10.0.0.1", "10.0.0.0/8 2001:db8::/32"
	many := strings.Repeat("10.0.0.9,", maxHops)
	for _, tt := range []struct {
		name, peer, want string
		lines            []string
	}{
		{"no header", peer, peer, nil},
		{"one address", peer, "192.0.2.1", []string{"192.0.2.1"}},
		{"a client that forges", peer, "192.0.2.1", []string{"6.6.6.6, 192.0.2.1"}},
		{"a client that forges a proxy", peer, "192.0.2.1", []string{"6.6.6.6, 10.0.0.7, 192.0.2.1"}},
		{"a second proxy", peer, "192.0.2.1", []string{"192.0.2.1, 10.0.0.2"}},
		{"forged, behind two proxies", peer, "192.0.2.1", []string{"6.6.6.6,192.0.2.1\t,\t10.0.0.2"}},
		{"lines", peer, "192.0.2.1", []string{"6.6.6.6", "192.0.2.1, 10.0.0.3", "10.0.0.2"}},
		{"proxies alone", peer, "10.0.0.4", []string{"10.0.0.4, 10.0.0.3"}},
		{"an untrusted peer", "192.0.2.9", "192.0.2.9", []string{"6.6.6.6"}},
		{"an untrusted peer that names a proxy", "192.0.2.9", "192.0.2.9", []string{"6.6.6.6, 10.0.0.1"}},
		{"port", peer, "192.0.2.1", []string{"192.0.2.1:4711"}},
		{"IPv6", peer, "2001:db9::1", []string{"2001:db9::1"}},
		{"IPv6 in brackets", peer, "2001:db9::1", []string{"[2001:db9::1]"}},
		{"IPv6 with port", peer, "2001:db9::1", []string{"[2001:db9::1]:4711, [2001:db8::1]:4711"}},
		{"IPv4-mapped hop", peer, "192.0.2.1", []string{"::ffff:192.0.2.1, ::ffff:10.0.0.2"}},
		{"IPv4-mapped peer", "::ffff:10.0.0.1", "192.0.2.1", []string{"192.0.2.1"}},
		{"IPv4-mapped, untrusted peer", "::ffff:192.0.2.9", "192.0.2.9", []string{"6.6.6.6"}},
		{"peer with a zone", "fe80::1%eth0", "fe80::1", []string{"6.6.6.6"}},
		{"hop with a zone", peer, peer, []string{"fe80::1%eth0"}},
		{"hop with a zone and a port", peer, peer, []string{"[fe80::1%eth0]:1"}},
		{"not an address", peer, peer, []string{"192.0.2.1, unknown"}},
		{"not an address, further on", peer, "10.0.0.2", []string{"192.0.2.1, _hidden, 10.0.0.2"}},
		{"empty element", peer, peer, []string{"192.0.2.1,"}},
		{"empty line", peer, "10.0.0.2", []string{"192.0.2.1", "", "10.0.0.2"}},
		{"the other header's syntax", peer, peer, []string{"for=192.0.2.1"}},
		{"quoted", peer, peer, []string{`"192.0.2.1"`}},
		{"half a bracket", peer, peer, []string{"[2001:db9::1"}},
		{"leading zero", peer, peer, []string{"192.0.2.01"}},
		{"two addresses, no comma", peer, peer, []string{"192.0.2.1 192.0.2.2"}},
		{"long", peer, peer, []string{strings.Repeat(" ", 1000) + strings.Repeat("1", 1000)}},
		{"32 hops", peer, "192.0.2.1", []string{"192.0.2.1," + strings.TrimSuffix(many[9:], ",")}},
		{"33 hops", peer, "10.0.0.9", []string{"192.0.2.1," + strings.TrimSuffix(many, ",")}},
		{"no peer", "", "", []string{"6.6.6.6"}},
	} {
		var from, want netip.Addr
		if tt.peer != "" {
			from, want = addr(tt.peer), addr(tt.want)
		}
		p := newProxies(t, trusted, "")
		if got := p.Client(from, http.Header{"X-Forwarded-For": tt.lines}); got != want {
			t.Errorf("%s: %q from %s: got %v, want %s", tt.name, tt.lines, tt.peer, got, tt.want)
		}
	}
}

// Only the one header counts, and none at all without proxies or with the PROXY protocol.
func TestClientHeader(t *testing.T) {
	h := http.Header{}
	h.Add("X-Forwarded-For", "192.0.2.1")
	h.Add("x-real-ip", "192.0.2.2")
	h.Add("Forwarded", "for=192.0.2.3")
	peer := addr("10.0.0.1")
	withPROXY, err := NewProxies(&ProxyOptions{Trusted: prefixes("10.0.0.0/8"), PROXY: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		proxies *Proxies
		want    string
	}{
		{"default", newProxies(t, "10.0.0.0/8", ""), "192.0.2.1"},
		{"another", newProxies(t, "10.0.0.0/8", "X-REAL-IP"), "192.0.2.2"},
		{"absent", newProxies(t, "10.0.0.0/8", "CF-Connecting-IP"), "10.0.0.1"},
		{"no proxies", newProxies(t, "", ""), "10.0.0.1"},
		{"nil", nil, "10.0.0.1"},
		{"PROXY protocol", withPROXY, "10.0.0.1"},
	} {
		if got := tt.proxies.Client(peer, h); got != addr(tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, got, tt.want)
		}
	}
}

func TestHostAddr(t *testing.T) {
	for _, tt := range []struct {
		addr net.Addr
		want string
	}{
		{&net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 1}, "192.0.2.1"},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 1}, "fe80::1"},
		{net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[::ffff:192.0.2.1]:1")), "192.0.2.1"},
		{&net.UDPAddr{IP: net.ParseIP("2001:db8::1"), Port: 1}, "2001:db8::1"},
		{&net.UnixAddr{Name: "/run/socket", Net: "unix"}, "invalid IP"},
		{nil, "invalid IP"},
	} {
		if got := HostAddr(tt.addr).String(); got != tt.want {
			t.Errorf("HostAddr(%v) = %s, want %s", tt.addr, got, tt.want)
		}
	}
}

// A header of any size costs what its last 32 elements cost, and nothing stays of it.
func TestClientWork(t *testing.T) {
	p := newProxies(t, "10.0.0.0/8", "")
	for _, tt := range []struct{ name, line string }{
		{"proxies", strings.Repeat("10.0.0.2,", 100_000) + "10.0.0.2"},
		{"one long element", strings.Repeat("1", 1<<20)},
		{"commas", strings.Repeat(",", 1<<20)},
	} {
		h := http.Header{DefaultHeader: {tt.line}}
		const most = 2 * maxHops // the errors of parsing are allocated
		if got := testing.AllocsPerRun(10, func() { p.Client(addr("10.0.0.1"), h) }); got > most {
			t.Errorf("%s: %v allocations, want at most %d", tt.name, got, most)
		}
	}
}
