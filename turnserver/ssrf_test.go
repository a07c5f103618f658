package turnserver

import (
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

// deniedPeers are the first and the last address of all that is denied by default, by family. The IPv4 ones are in the
// other list, too, in all the forms that IPv6 has for them.
func deniedPeers() (v4, v6 []netip.Addr) {
	for _, prefix := range defaultDeny() {
		first := prefix.Masked().Addr()
		last := first.As16()
		for bit := 128 - (first.BitLen() - prefix.Bits()); bit < 128; bit++ {
			last[bit/8] |= 0x80 >> (bit % 8)
		}
		if first.Is4() {
			v4 = append(v4, first, netip.AddrFrom16(last).Unmap())
		} else {
			v6 = append(v6, first, netip.AddrFrom16(last))
		}
	}
	v4 = append(v4, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("169.254.169.254"))
	for _, ip := range v4 {
		v6 = append(v6, hiding(ip)...)
	}
	return v4, v6
}

// hiding returns the IPv6 forms in which an IPv4 address hides, all but the mapped one.
func hiding(ip netip.Addr) (forms []netip.Addr) {
	low := ip.As4()
	for _, prefix := range prefixes("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/96") {
		form := prefix.Addr().As16()
		copy(form[12:], low[:])
		forms = append(forms, netip.AddrFrom16(form))
	}
	sixToFour, teredo := [16]byte{0x20, 0x02}, [16]byte{0x20, 0x01}
	copy(sixToFour[2:], low[:])
	copy(teredo[4:], low[:])
	for i, b := range low {
		teredo[12+i] = ^b // the client, as Teredo hides it
	}
	return append(forms, netip.AddrFrom16(sixToFour), netip.AddrFrom16(teredo))
}

// familyServer relays at addresses that are not denied to itself, in both families.
func familyServer(t *testing.T, change func(*Config)) *testServer {
	return newTestServer(t, func(cfg *Config) {
		cfg.Listen = []string{"127.0.0.1:0", "[::1]:0"}
		cfg.ExternalIPs = []string{"5.5.5.5/127.0.0.77", "2606:4700::5/::1"}
		cfg.RequestRate = -1
		change(cfg)
	})
}

// inFamily returns a client with an allocation of a family.
func (ts *testServer) inFamily(number byte) *testClient {
	ts.t.Helper()
	c := ts.client("alice")
	c.wantOK(stun.MethodAllocate, c.request(stun.MethodAllocate, requestedUDP, requestedFamily(number)))
	return c
}

func (c *testClient) sendExactly(to exactPeer) {
	c.t.Helper()
	c.write(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), to, raw(stun.AttrData, 'x')).Raw)
}

// sync returns when the server has handled all that c sent before.
func (c *testClient) sync() {
	c.t.Helper()
	c.wantOK(stun.MethodRefresh, c.request(stun.MethodRefresh))
}

// Nothing that is denied can be reached by any request, in any form of its address.
func TestDeniedInAllForms(t *testing.T) {
	ts := familyServer(t, func(*Config) {})
	v4, v6 := deniedPeers()
	for _, tt := range []struct {
		c                   *testClient
		denied, otherFamily []netip.Addr
	}{{ts.inFamily(1), v4, v6}, {ts.inFamily(2), v6, v4}} {
		check := func(ip netip.Addr, want int) { tt.c.wantPeer(ip, minChannel, want) }
		for _, ip := range tt.denied {
			if ip != netip.IPv6Loopback() { // where the relay itself is
				check(ip, 403)
			}
			if ip.Is4() {
				check(netip.AddrFrom16(ip.As16()), 443) // mapped
			}
		}
		for _, ip := range tt.otherFamily {
			check(ip, 443)
			if ip.Is4() {
				check(netip.AddrFrom16(ip.As16()), 443)
			}
		}
		tt.c.sync()
	}
	if got := ts.total(); got.ToPeers.Packets != 0 || got.Dropped["no_permission"]+got.Dropped["family"] == 0 {
		t.Errorf("got %d packets to peers, and dropped %v, want none", got.ToPeers.Packets, got.Dropped)
	}
}

// The first address of an IPv6 network is this machine's as well if it forwards there, and so is no peer; IPv4 networks have
// no such address. No form of an IPv4 address leads around that.
func TestSubnetRouterIsNoPeer(t *testing.T) {
	ts := familyServer(t, func(cfg *Config) {
		cfg.Addresses = newFakeAddresses("127.0.0.1/8 ::1/128 2600:1:2:3::9/64 2600:1:2:4::1/127 2600:1:2:5::1/128 9.9.6.3/31 9.9.5.1/32")
	})
	v4, v6 := ts.inFamily(1), ts.inFamily(2)
	for i, tt := range []struct {
		c    *testClient
		peer string
		want int
	}{
		{v6, "2600:1:2:3::", 403}, {v6, "2600:1:2:3::9", 403}, {v6, "2600:1:2:3::8", 0},
		{v6, "2600:1:2:4::", 0}, {v6, "2600:1:2:4::1", 403}, {v6, "2600:1:2:5::", 0}, {v6, "2600:1:2:5::1", 403},
		{v4, "9.9.6.2", 0}, {v4, "9.9.6.3", 403}, {v4, "9.9.5.0", 0}, {v4, "9.9.5.1", 403},
	} {
		ip := netip.MustParseAddr(tt.peer)
		channel := uint16(minChannel + i)
		tt.c.wantPeer(ip, channel, tt.want)
		if ip.Is4() {
			tt.c.wantPeer(netip.AddrFrom16(ip.As16()), channel, 443) // mapped
			for _, form := range hiding(ip) {
				v6.wantPeer(form, channel, 403)
			}
		}
	}
	v4.sync()
	v6.sync()
	if got := ts.total(); got.ToPeers.Packets != 0 || got.Dropped["no_permission"] != 4+2+4*6 || got.Dropped["family"] != 4 {
		t.Errorf("got %d packets to peers, and dropped %v, want one for each peer that is refused", got.ToPeers.Packets, got.Dropped)
	}
}

// wantPeer asks for a permission and a channel, and if they are to be refused sends a packet all the same.
func (c *testClient) wantPeer(ip netip.Addr, channel uint16, want int) {
	c.t.Helper()
	peer := exactPeer(netip.AddrPortFrom(ip, 80))
	if got := errorCode(c.request(stun.MethodCreatePermission, peer)); got != want {
		c.t.Errorf("relayed at %v, permission for %v: got %d, want %d", c.relayed, ip, got, want)
	}
	if got := errorCode(c.request(stun.MethodChannelBind, channelNumber(channel), peer)); got != want {
		c.t.Errorf("relayed at %v, channel to %v: got %d, want %d", c.relayed, ip, got, want)
	}
	if want != 0 {
		c.sendExactly(peer)
	}
}

// Permissions and channels from before the policy became stricter are worth nothing.
func TestDeniedWhileAlive(t *testing.T) {
	ts := familyServer(t, func(cfg *Config) { cfg.Allow = allow(t, "0.0.0.0/0 ::/0") })
	v4, v6 := deniedPeers()
	clients, packets := []*testClient{ts.inFamily(1), ts.inFamily(2)}, uint64(0)
	type flow struct {
		c       *testClient
		peer    exactPeer
		channel uint16
	}
	var flows []flow
	for i, list := range [][]netip.Addr{v4, v6} {
		seen := map[netip.Addr]bool{netip.IPv6Loopback(): true}
		for _, ip := range list {
			if seen[ip] || ts.policy.Load().isNoSingleHost(ip) { // these are not opened by Allow either
				continue
			}
			seen[ip] = true
			flows = append(flows, flow{clients[i], exactPeer(netip.AddrPortFrom(ip, 80)), uint16(minChannel + len(seen))})
		}
	}
	for _, f := range flows {
		if got := errorCode(f.c.request(stun.MethodChannelBind, channelNumber(f.channel), f.peer)); got != 0 {
			t.Fatalf("channel to %v: got %d", netip.AddrPort(f.peer), got)
		}
	}
	if err := ts.SetPeers(nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, f := range flows {
		f.c.sendExactly(f.peer)
		f.c.sendChannel(f.channel, "x")
		packets += 2
		if got := errorCode(f.c.request(stun.MethodCreatePermission, f.peer)); got != 403 {
			t.Errorf("permission for %v, refreshed: got %d, want 403", netip.AddrPort(f.peer), got)
		}
	}
	for _, c := range clients {
		c.sync()
	}
	if got := ts.total(); got.ToPeers.Packets != 0 || got.Dropped["policy"] != packets {
		t.Errorf("got %d packets to peers, and dropped %v, want %d by policy", got.ToPeers.Packets, got.Dropped, packets)
	}
}

// A peer that is denied from now on is not heard any more, either. The other one is.
func TestDeniedPeerIsNotHeard(t *testing.T) {
	ts := newTestServer(t, withAllow(t, "127.0.0.2/32 127.0.0.3/32"))
	c, was, is := ts.allocated("alice"), newPeer(t, "127.0.0.2"), newPeer(t, "127.0.0.3")
	c.wantOK(stun.MethodChannelBind, c.bindChannel(0x4000, was.addr))
	c.wantOK(stun.MethodCreatePermission, c.permit(was.addr, is.addr))
	was.send(c.relayed, "hello")
	c.wantText(packet{channel: 0x4000, text: "hello"})
	if err := ts.SetPeers(allow(t, "127.0.0.3/32"), nil); err != nil {
		t.Fatal(err)
	}
	was.send(c.relayed, "unheard")
	is.send(c.relayed, "heard")
	c.wantText(packet{from: is.addr, text: "heard"})
}

// The relay's own listeners, and reserved ones, are no peers, whatever is allowed.
func TestOwnListenersAreNoPeers(t *testing.T) {
	admin := newPeer(t, "127.0.0.1")
	ts := newTestServer(t, func(cfg *Config) {
		cfg.Allow = allow(t, "0.0.0.0/0 ::/0")
		cfg.Reserved = []netip.AddrPort{admin.addr, netip.MustParseAddrPort("0.0.0.0:9090")}
	})
	c := ts.allocated("alice")
	for i, peer := range []netip.AddrPort{ts.Addrs(UDP)[0], admin.addr, netip.MustParseAddrPort("127.0.0.1:9090"), netip.MustParseAddrPort("127.9.9.9:9090")} {
		if got := errorCode(c.bindChannel(minChannel+uint16(i), peer)); got != 403 {
			t.Errorf("channel to %v: got %d, want 403", peer, got)
		}
		c.wantOK(stun.MethodCreatePermission, c.permit(peer)) // which names no port
		c.send(peer, "x")
	}
	c.sync()
	if got := ts.total(); got.Dropped["policy"] != 4 || got.ToPeers.Packets != 0 {
		t.Errorf("got %d packets to peers, and dropped %v, want 4 by policy", got.ToPeers.Packets, got.Dropped)
	}
}

// A wildcard among the listeners makes the unspecified address no relay's.
func TestWildcardIsNoPeer(t *testing.T) {
	ts := newIdleServer(t, func(cfg *Config) { cfg.Listen = []string{"0.0.0.0:0"} })
	c := learned(ts, "127.0.1.1:1", true)
	if err := wantCode(c.askSigned(stun.MethodCreatePermission, exactly("0.0.0.0:80")), 403); err != nil {
		t.Error(err)
	}
	if c.relayed.Addr().IsUnspecified() {
		t.Errorf("relayed at %v", c.relayed)
	}
}
