package turnserver

import (
	"net/netip"
	"testing"
)

// Who has looked keeps what was there; a change makes something new of what it changes alone.
func TestFlowsAreSnapshots(t *testing.T) {
	var table flowTable
	peer, other := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddr("192.0.2.2")
	empty := table.load()
	table.permit(peer.Addr())
	table.bind(0x4000, peer)
	before := table.load()
	table.permit(other)
	table.unbind(0x4000, peer)
	after := table.load()
	if len(empty.permitted)+len(empty.byNumber)+len(empty.byPeer) != 0 {
		t.Errorf("at first: got %+v, want nothing", empty)
	}
	if len(before.permitted) != 1 || before.byNumber[0x4000] != before.byPeer[peer] || before.byPeer[peer] == nil {
		t.Errorf("before: got %+v, want a permission and a channel", before)
	}
	if len(after.permitted) != 2 || len(after.byNumber) != 0 || len(after.byPeer) != 0 {
		t.Errorf("after: got %+v, want two permissions and no channel", after)
	}
	if before.permitted[peer.Addr()] != after.permitted[peer.Addr()] {
		t.Error("a permission that stays is another one")
	}
}

// A channel knows of the permission for its peer, in whichever order they come and go.
func TestChannelsKnowTheirPermission(t *testing.T) {
	peer, sibling, other := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.1:2"), netip.MustParseAddrPort("192.0.2.2:1")
	var table flowTable
	want := func(step string, permitted ...bool) {
		t.Helper()
		for i, number := range []uint16{0x4000, 0x4001, 0x4002} {
			if got := table.load().byNumber[number].permitted.Load(); got != permitted[i] {
				t.Errorf("%s: channel %#x permitted: got %v, want %v", step, number, got, permitted[i])
			}
		}
	}
	table.bind(0x4000, peer)
	table.permit(peer.Addr())
	table.bind(0x4001, sibling)
	table.bind(0x4002, other)
	want("permission for the first two", true, true, false)
	table.permit(other.Addr())
	table.forbid(peer.Addr())
	want("permission for the third", false, false, true)
	table.unbind(0x4002, other)
	table.bind(0x4002, other)
	want("channel anew", false, false, true)
}
