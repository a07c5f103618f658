package limit

import (
	"net/netip"
	"testing"
)

func TestGroup(t *testing.T) {
	for _, c := range []struct{ addr, want string }{
		{"192.0.2.1", "192.0.2.1/32"},
		{"::ffff:192.0.2.1", "192.0.2.1/32"},
		{"2001:db8:1:2ff:3::4", "2001:db8:1:200::/56"},
		{"fe80::1%eth0", "fe80::/56"},
		{"::", "::/56"},
	} {
		if got := Group(netip.MustParseAddr(c.addr)).String(); got != c.want {
			t.Errorf("Group(%s) = %s, want %s", c.addr, got, c.want)
		}
	}
	if got := Group(netip.Addr{}); got != (netip.Prefix{}) {
		t.Errorf("Group of an invalid address = %s, want the zero Prefix", got)
	}
}
