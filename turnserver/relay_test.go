package turnserver

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/stun/v3"
)

func withAllow(t testing.TB, cidrs string) func(*Config) {
	return func(cfg *Config) { cfg.Allow = allow(t, cidrs) }
}

func TestBinding(t *testing.T) {
	ts := newTestServer(t, nil)
	c := ts.client("alice")
	var mapped stun.XORMappedAddress
	response := c.roundTrip(stun.MustBuild(stun.TransactionID, stun.BindingRequest))
	if err := mapped.GetFrom(response); err != nil || mapped.String() != c.conn.LocalAddr().String() {
		t.Errorf("mapped address: got %v, %v, want %v", mapped, err, c.conn.LocalAddr())
	}
}

func TestIndicationsAndChannels(t *testing.T) {
	ts := newTestServer(t, withAllow(t, "127.0.0.2/32"))
	c, p := ts.allocated("alice"), newPeer(t, "127.0.0.2")
	if ip := c.relayed.Addr(); ip != netip.MustParseAddr("127.0.0.1") || c.relayed.Port() < DefaultMinPort {
		t.Errorf("relayed address: got %v, want one at 127.0.0.1 in the default range", c.relayed)
	}
	c.wantOK(stun.MethodCreatePermission, c.permit(p.addr))
	c.send(p.addr, "one")
	p.wantText(c.relayed, "one")
	p.send(c.relayed, "two")
	c.wantText(packet{from: p.addr, text: "two"})

	c.wantOK(stun.MethodChannelBind, c.bindChannel(0x4000, p.addr))
	c.sendChannel(0x4000, "three")
	p.wantText(c.relayed, "three")
	p.send(c.relayed, "four")
	c.wantText(packet{channel: 0x4000, text: "four"})
	long := strings.Repeat("x", 60_000)
	c.sendChannel(0x4000, long)
	p.wantText(c.relayed, long)

	c.wantOK(stun.MethodRefresh, c.request(stun.MethodRefresh, lifetime(600))) // all before it was counted
	if got := ts.Stats(); got.Allocations != 1 || got.AllocationsCreated != 1 || got.Users != 1 {
		t.Errorf("stats: got %+v, want one allocation", got)
	}
	got, wantUp, wantDown := ts.total(), Traffic{3, 8 + 60_000}, Traffic{2, 7}
	if got.ToPeers != wantUp || got.FromPeers != wantDown {
		t.Errorf("traffic: got %+v and %+v, want %+v and %+v", got.ToPeers, got.FromPeers, wantUp, wantDown)
	}
}

// Nothing passes without a permission, in either direction, though the policy would allow the peer.
func TestPermissionIsNeeded(t *testing.T) {
	ts := newTestServer(t, withAllow(t, "127.0.0.0/8"))
	c, stranger, friend := ts.allocated("alice"), newPeer(t, "127.0.0.2"), newPeer(t, "127.0.0.3")
	c.wantOK(stun.MethodCreatePermission, c.permit(friend.addr))
	c.send(stranger.addr, "unwanted")
	c.send(friend.addr, "hello")
	friend.wantText(c.relayed, "hello")
	friend.send(stranger.addr, "marker")
	stranger.wantText(friend.addr, "marker")
	stranger.send(c.relayed, "unwanted")
	friend.send(c.relayed, "marker")
	c.wantText(packet{from: friend.addr, text: "marker"})
}

// One client cannot fill the memory with permissions. Those that it has can be refreshed.
func TestPermissionsAreBounded(t *testing.T) {
	ts := newTestServer(t, nil)
	c := ts.allocated("alice")
	first, last := netip.MustParseAddrPort("8.8.0.0:1"), netip.AddrPort{}
	peer := first
	for range maxPermissions {
		last, peer = peer, netip.AddrPortFrom(peer.Addr().Next(), 1)
		c.wantOK(stun.MethodCreatePermission, c.permit(last))
	}
	if errorCode(c.permit(peer)) == 0 || errorCode(c.bindChannel(0x4000, peer)) == 0 {
		t.Errorf("permission %d: granted, want it refused", maxPermissions+1)
	}
	c.wantOK(stun.MethodCreatePermission, c.permit(first, last))
	c.wantOK(stun.MethodChannelBind, c.bindChannel(0x4000, netip.AddrPortFrom(first.Addr(), 2)))
}

// Two allocations of one server reach each other, though their addresses are on the deny list, and in each form.
func TestRelayToRelay(t *testing.T) {
	local, public := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("198.51.100.9")
	tests := []struct {
		name, external string
		use            netip.Addr
	}{
		{"without NAT", "", local},
		{"public form", "198.51.100.9/127.0.0.1", public},
		{"local form", "198.51.100.9/127.0.0.1", local},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t, func(cfg *Config) {
				if tt.external != "" {
					cfg.ExternalIPs = []string{tt.external}
				}
				cfg.Deny = allow(t, "127.0.0.0/8 198.51.100.0/24")
			})
			a, b := ts.allocated("alice"), ts.allocated("bob")
			if tt.external != "" && a.relayed.Addr() != public {
				t.Errorf("relayed address: got %v, want it at %v", a.relayed, public)
			}
			aAddr, bAddr := netip.AddrPortFrom(tt.use, a.relayed.Port()), netip.AddrPortFrom(tt.use, b.relayed.Port())
			a.wantOK(stun.MethodCreatePermission, a.permit(bAddr))
			b.wantOK(stun.MethodChannelBind, b.bindChannel(0x4001, aAddr))
			b.sendChannel(0x4001, "one")
			a.wantText(packet{from: bAddr, text: "one"})
			a.send(bAddr, "two")
			b.wantText(packet{channel: 0x4001, text: "two"})
		})
	}
}

// The target's permission for the source is needed, too.
func TestRelayToRelayNeedsBothPermissions(t *testing.T) {
	ts := newTestServer(t, withAllow(t, "127.0.0.2/32"))
	a, b, friend := ts.allocated("alice"), ts.allocated("bob"), newPeer(t, "127.0.0.2")
	b.wantOK(stun.MethodCreatePermission, b.permit(friend.addr))
	a.wantOK(stun.MethodCreatePermission, a.permit(b.relayed))
	a.send(b.relayed, "unwanted")
	a.wantOK(stun.MethodRefresh, a.request(stun.MethodRefresh, lifetime(600))) // the indication was handled before
	friend.send(b.relayed, "marker")
	b.wantText(packet{from: friend.addr, text: "marker"})
}

// A permission for the own relay address is granted, but reaches live allocations alone: not what else is at that
// address of this machine.
func TestOtherPortsOfTheRelayAddress(t *testing.T) {
	ts := newTestServer(t, withAllow(t, "127.0.0.2/32"))
	c, service, friend := ts.allocated("alice"), newPeer(t, "127.0.0.1"), newPeer(t, "127.0.0.2")
	c.wantOK(stun.MethodCreatePermission, c.permit(service.addr, friend.addr))
	c.wantOK(stun.MethodChannelBind, c.bindChannel(0x4000, service.addr))
	c.send(service.addr, "unwanted")
	c.sendChannel(0x4000, "unwanted")
	c.send(ts.Addrs(UDP)[0], "to the listener")
	c.send(friend.addr, "sent after them")
	friend.wantText(c.relayed, "sent after them")
	friend.send(service.addr, "marker")
	service.wantText(friend.addr, "marker")

	service.send(c.relayed, "unwanted")
	friend.send(c.relayed, "marker")
	c.wantText(packet{from: friend.addr, text: "marker"})
	if got := ts.total().Dropped; got["policy"]+got["no_permission"] != 4 {
		t.Errorf("dropped packets: got %v, want 4", got)
	}
}

// Datagrams of any length pass whole, from peers and from relays.
func TestLongDatagramsAreNotCut(t *testing.T) {
	ts := newTestServer(t, withAllow(t, "127.0.0.2/32"))
	a, b, p := ts.allocated("alice"), ts.allocated("bob"), newPeer(t, "127.0.0.2")
	a.wantOK(stun.MethodCreatePermission, a.permit(p.addr, b.relayed))
	b.wantOK(stun.MethodCreatePermission, b.permit(a.relayed))
	long := strings.Repeat("x", 65_000)
	p.send(a.relayed, long)
	a.wantText(packet{from: p.addr, text: long})
	b.send(a.relayed, long)
	a.wantText(packet{from: b.relayed, text: long})
}
