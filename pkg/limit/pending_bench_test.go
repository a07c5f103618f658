package limit

import (
	"net/netip"
	"testing"
)

// BenchmarkPendingFull is a connection that begins and ends in a table that is full.
func BenchmarkPendingFull(b *testing.B) {
	for name, address := range map[string]func(i int) netip.Addr{
		"32 addresses": func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(i % 32), 1}) },
		"an IPv6 /32": func(i int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)})
		},
		"many networks": func(i int) netip.Addr { return netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 1}) },
	} {
		b.Run(name, func(b *testing.B) {
			p := NewPending(nil)
			evict := func(Reason) {}
			for i := range 8192 {
				p.Acquire(address(i), nil, evict)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.Reacquire(address(8192+i), evict) // pushes another out
			}
		})
	}
}
