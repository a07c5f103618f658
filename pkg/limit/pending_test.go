package limit

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A crowd fills the table, and holds on to it. Newcomers from elsewhere get in, and stay.
func TestCrowdsPushOutTheirOwn(t *testing.T) {
	for name, address := range map[string]func(i int) string{
		"32 addresses":        func(i int) string { return fmt.Sprintf("192.0.%d.1", i%32) },
		"IPv4 mapped to IPv6": func(i int) string { return fmt.Sprintf("::ffff:192.0.%d.1", i%32) },
		"an IPv4 /24":         func(i int) string { return fmt.Sprintf("192.0.2.%d", i%256) },
		"the newcomer's /24":  func(i int) string { return fmt.Sprintf("198.51.100.%d", i%32) },
		"an IPv6 /56":         func(i int) string { return fmt.Sprintf("2001:db8::%x", i) },
		"an IPv6 /48":         func(i int) string { return fmt.Sprintf("2001:db8:0:%x00::1", i%256) },
		"an IPv6 /32":         func(i int) string { return fmt.Sprintf("2001:db8:%x::1", i%65536) },
		"32 IPv6 operators":   func(i int) string { return fmt.Sprintf("2001:%x::1", i%32) },
		"IPv4 and IPv6": func(i int) string {
			return [...]string{fmt.Sprintf("2001:db8:%x::1", i%65536), fmt.Sprintf("192.0.%d.1", i%32)}[i%2]
		},
	} {
		t.Run(name, func(t *testing.T) {
			withTable(t, &PendingOptions{Max: 1024}, func(ta *pendingTable) {
				n := 0
				attack := func() {
					for range 2500 {
						ta.try(address(n))
						n++
					}
				}
				early := ta.begin("203.0.113.1")
				attack()
				newcomer := ta.begin("198.51.100.77") // though all of the crowd's are young
				attack()
				time.Sleep(2 * grace)
				attack()
				late := ta.begin("2001:db9:ffff:ff00::1")
				attack()
				ta.wantOpen(early)
				ta.wantOpen(newcomer)
				ta.wantOpen(late)
			})
		})
	}
}

// Too many networks to be a crowd: whoever gets in has the time to sign in, and the oldest makes
// room.
func TestFloodOfManyNetworks(t *testing.T) {
	withTable(t, &PendingOptions{Max: 1024}, func(ta *pendingTable) {
		first := ta.begin("198.51.100.1")
		ta.flood("10.%d.0.1", 250)
		ta.flood("11.%d.0.1", 250)
		ta.flood("12.%d.0.1", 250)
		ta.flood("13.%d.0.1", 250)
		ta.flood("14.%d.0.1", 250)
		ta.wantLen(1024)
		if _, why := ta.try("198.51.100.2"); why != TableFull {
			t.Errorf("while all are young a newcomer gets %d, want %d", why, TableFull)
		}
		time.Sleep(grace)
		second := ta.begin("198.51.100.2")
		ta.wantEvicted(first, TableFull)
		for range 10 {
			time.Sleep(grace / 11)
			ta.flood("15.%d.0.1", 250)
		}
		ta.wantOpen(second)
		ta.wantLen(1024)
	})
}

// An office signs in beside a flood that is spread wider than it is.
func TestOfficeBesideAFlood(t *testing.T) {
	withTable(t, nil, func(ta *pendingTable) {
		for i := range 8192 {
			ta.try(fmt.Sprintf("%d.%d.0.1", 16+i/250, i%250))
		}
		time.Sleep(grace)
		for range 40 {
			var office []*pendingConn
			for range 16 {
				office = append(office, ta.begin("198.51.100.1"))
			}
			ta.flood("10.%d.0.1", 16)
			for _, c := range office {
				ta.wantOpen(c)
				c.Prove()
			}
		}
	})
}

func TestPerAddress(t *testing.T) {
	withTable(t, &PendingOptions{PerAddress: 2, Known: NewKnown()}, func(ta *pendingTable) {
		first, second := ta.begin("2001:db8:0:1::1"), ta.begin("2001:db8:0:2::1")
		if _, why := ta.try("2001:db8:0:ff::1"); why != AddressFull {
			t.Errorf("a third one gets %d while both are young, want %d", why, AddressFull)
		}
		ta.begin("2001:db8:0:100::1")
		time.Sleep(grace)
		third := ta.begin("2001:db8::1")
		ta.wantEvicted(first, AddressFull)
		ta.wantOpen(second)

		third.Prove() // what the address holds among the strangers and among the known is one sum
		fourth := ta.begin("2001:db8::1")
		time.Sleep(grace)
		ta.begin("2001:db8::1")
		ta.wantEvicted(second, AddressFull)
		ta.wantOpen(fourth)
		ta.wantLen(3)
	})
}

// Who signed in from an address gets in at once, also where everyone else has to wait.
func TestKnownAddresses(t *testing.T) {
	withTable(t, &PendingOptions{Max: 100, Known: NewKnown()}, func(ta *pendingTable) {
		ta.begin("198.51.100.1").Prove()
		ta.flood("10.%d.0.1", 200)
		ta.wantLen(75)
		if _, why := ta.try("198.51.100.2"); why != TableFull {
			t.Fatalf("a stranger gets %d, want %d", why, TableFull)
		}
		alice := ta.begin("198.51.100.1")
		ta.wantLen(76)
		// Their share follows the same rules.
		for i := range 100 {
			addr := fmt.Sprintf("203.0.%d.1", i%8)
			ta.o.Known.Add(netip.MustParseAddr(addr))
			ta.try(addr)
		}
		ta.wantLen(100)
		ta.wantOpen(alice)
		ta.begin("198.51.100.1")
	})
}

// They use what is free elsewhere before they push each other out.
func TestKnownAddressesUseWhatIsFree(t *testing.T) {
	withTable(t, &PendingOptions{Max: 100, Known: NewKnown()}, func(ta *pendingTable) {
		for i := range 100 {
			addr := fmt.Sprintf("203.0.%d.1", i)
			ta.o.Known.Add(netip.MustParseAddr(addr))
			ta.begin(addr)
		}
		ta.wantLen(100)
		if len(ta.evicted) != 0 {
			t.Errorf("%d were pushed out of a table with room", len(ta.evicted))
		}
	})
}

// What a proxy's connections are is not known before it says so. They have half of the table, and
// no bound of one address.
func TestMove(t *testing.T) {
	withTable(t, &PendingOptions{Max: 16, PerAddress: 2}, func(ta *pendingTable) {
		var proxied []*pendingConn
		for range 8 {
			proxied = append(proxied, ta.begin(""))
		}
		for _, c := range proxied[:2] {
			if why := c.Move(netip.MustParseAddr("192.0.2.1")); why != None {
				t.Errorf("move: %d", why)
			}
		}
		ta.wantLen(8)
		if why := proxied[2].Move(netip.MustParseAddr("192.0.2.1")); why != AddressFull {
			t.Errorf("the third at an address is refused as %d, want %d", why, AddressFull)
		}
		ta.wantLen(7)
		if why := proxied[2].Move(netip.MustParseAddr("192.0.2.9")); why != None {
			t.Errorf("moving what is released: %d", why)
		}
		ta.wantLen(7)
		time.Sleep(grace)
		if why := proxied[3].Move(netip.MustParseAddr("192.0.2.1")); why != None {
			t.Errorf("move: %d", why)
		}
		ta.wantEvicted(proxied[0], AddressFull)
		ta.wantLen(6)
		proxied[1].Move(netip.MustParseAddr("192.0.2.1")) // where it is
		ta.wantLen(6)

		ta.flood("10.%d.0.1", 10)
		proxied[4].Move(netip.MustParseAddr("192.0.2.3")) // frees the slot that it takes
		ta.wantLen(16)
	})
}

// A connection that may not begin pushes nobody out, and one that is refused takes nothing of the
// rate.
func TestMayBegin(t *testing.T) {
	withTable(t, &PendingOptions{Max: 2, PerAddress: 1}, func(ta *pendingTable) {
		asked, may := 0, true
		ta.mayBegin = func(netip.Addr) bool { asked++; return may }
		proxied, first := ta.begin(""), ta.begin("192.0.2.1")
		for range 5 {
			ta.try("192.0.2.1")
			ta.try("192.0.2.2")
		}
		if asked != 1 {
			t.Errorf("asked %d times, want once", asked)
		}
		time.Sleep(grace)
		may = false
		for _, addr := range []string{"192.0.2.1", "192.0.2.2"} {
			if _, why := ta.try(addr); why != TooFast {
				t.Errorf("%s gets %d, want %d", addr, why, TooFast)
			}
		}
		if why := proxied.Move(netip.MustParseAddr("192.0.2.3")); why != TooFast {
			t.Errorf("moved: %d, want %d", why, TooFast)
		}
		ta.wantOpen(first)
		ta.wantLen(1)
	})
}

func TestRelease(t *testing.T) {
	withTable(t, &PendingOptions{Max: 2}, func(ta *pendingTable) {
		var none *Slot
		none.Release()
		none.Prove()
		none.Move(netip.MustParseAddr("192.0.2.1"))
		a, b := ta.begin("192.0.2.1"), ta.begin("2001:db8::1")
		a.Release()
		a.Release()
		ta.wantLen(1)
		time.Sleep(grace)
		ta.begin("192.0.2.2")
		ta.begin("192.0.2.3")
		ta.wantEvicted(b, TableFull)
		b.Release() // has no slot any more
		ta.wantLen(2)
	})
}

func TestReacquire(t *testing.T) {
	withTable(t, &PendingOptions{Max: 3, PerAddress: 2}, func(ta *pendingTable) {
		again := func(addr string) {
			if ta.Reacquire(netip.MustParseAddr(addr), func(Reason) {}) == nil {
				t.Errorf("%s is refused", addr)
			}
		}
		a, b := ta.begin("192.0.2.1"), ta.begin("192.0.2.1")
		again("192.0.2.1")
		ta.wantEvicted(a, AddressFull)
		again("192.0.2.2")
		again("192.0.2.3")
		ta.wantEvicted(b, TableFull)
		ta.wantLen(3)
	})
}

func TestIPv4Networks(t *testing.T) {
	withTable(t, &PendingOptions{PerAddress: 2, IPv4Bits: 24}, func(ta *pendingTable) {
		ta.begin("192.0.2.1")
		ta.begin("192.0.2.2")
		if _, why := ta.try("192.0.2.3"); why != AddressFull {
			t.Errorf("a third of a /24 gets %d, want %d", why, AddressFull)
		}
		ta.begin("192.0.3.1")
	})
}

// Evicted connections give back and acquire from within the call, as those that share a goroutine
// do.
func TestEvictCallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPending(&PendingOptions{Max: 1})
		var slot *Slot
		slot, _ = p.Acquire(netip.MustParseAddr("192.0.2.1"), nil, func(Reason) { slot.Release(); p.Len() })
		time.Sleep(grace)
		if _, why := p.Acquire(netip.MustParseAddr("192.0.2.2"), nil, func(Reason) {}); why != None || p.Len() != 1 {
			t.Errorf("acquire: %d, %d slots are held", why, p.Len())
		}
	})
}

func TestKnownIsBounded(t *testing.T) {
	k := NewKnown()
	k.Add(netip.Addr{})
	for i := range knownGroups + 1 {
		k.Add(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if n := k.groups.Len(); n != knownGroups {
		t.Errorf("%d groups are remembered, want %d", n, knownGroups)
	}
	if k.has(netip.MustParseAddr("10.0.0.0")) || !k.has(netip.MustParseAddr("10.0.0.1")) {
		t.Error("want the oldest forgotten, and no other")
	}
	var none *Known
	none.Add(netip.MustParseAddr("10.0.0.0"))
	if none.has(netip.MustParseAddr("10.0.0.0")) {
		t.Error("nobody is known to a nil Known")
	}
}

// Whatever happens in whatever order, and at once, the trees stay what they are.
func TestPendingStaysSound(t *testing.T) {
	withTable(t, &PendingOptions{Max: 64, PerAddress: 5, Known: NewKnown()}, func(ta *pendingTable) {
		var workers sync.WaitGroup
		for seed := range uint64(4) {
			workers.Go(func() {
				r := rand.New(rand.NewPCG(1, seed))
				var open []*Slot
				for range 2000 {
					addr := randomAddr(r)
					switch n := r.IntN(10); {
					case len(open) == 0 || n < 5:
						slot, _ := ta.Acquire(addr, nil, func(Reason) {})
						open = append(open, slot)
					case n == 5:
						open = append(open, ta.Reacquire(addr, func(Reason) {}))
					case n == 6:
						open[r.IntN(len(open))].Move(addr)
					case n == 7:
						open[r.IntN(len(open))].Prove()
					case n == 8:
						open[r.IntN(len(open))].Release()
					default:
						time.Sleep(time.Second)
					}
				}
			})
		}
		workers.Wait()
		ta.wantSound()
	})
}

// randomAddr returns one of few, with many groups in common, or none.
func randomAddr(r *rand.Rand) netip.Addr {
	a, b, c := byte(r.IntN(3)), byte(r.IntN(3)), byte(r.IntN(3))
	switch r.IntN(5) {
	case 0:
		return netip.Addr{}
	case 1, 2:
		return netip.AddrFrom4([4]byte{10, a, b, c})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, a, 0, b, c << 1, 15: 1})
}
