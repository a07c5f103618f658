package udp

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestZones(t *testing.T) {
	_, d := natively(t, "[::1]:0")
	tests := []struct {
		to    string
		scope uint32
		ok    bool
	}{
		{"[fe80::1%7]:9", 7, true},
		{"[fe80::2%7]:9", 7, true},
		{"[fe80::1%4294967295]:9", 4294967295, true},
		{"[fe80::1]:9", 0, true},
		{"[fe80::1%eth0]:9", 0, false},
		{"[fe80::1%4294967296]:9", 0, false},
	}
	for _, test := range tests {
		to := netip.MustParseAddrPort(test.to)
		var name unix.RawSockaddrInet6
		_, ok := putName(&name, to)
		if ok != test.ok || ok && name.Scope_id != test.scope {
			t.Errorf("%s: got scope %d, %v, want %d, %v", test.to, name.Scope_id, ok, test.scope, test.ok)
		}
		if got := d.from(&name); ok && got != to {
			t.Errorf("there and back: got %v, want %v", got, to)
		}
	}
}
