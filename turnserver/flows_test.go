package turnserver

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/pion/stun/v3"
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

// Changes that come together, whoever makes them, are one: nobody sees some of them, and none is lost. After the end there
// are none.
func TestFlowsTogether(t *testing.T) {
	var table flowTable
	old := netip.MustParseAddr("192.0.2.200")
	table.permit(old)
	before := table.load()
	table.together(func() {
		for _, peer := range peersAt(0, 64) {
			table.permit(peer.Addr())
		}
		table.bind(0x4000, peersAt(0, 1)[0])
		table.forbid(old) // a timer's
		if table.load() != before || len(before.permitted) != 1 || len(before.byNumber) != 0 {
			t.Errorf("in the midst of it: got %+v, want what was before", table.load())
		}
	})
	after := table.load()
	if len(after.permitted) != 64 || after.permitted[old] != nil || after.byNumber[0x4000] == nil || !after.byNumber[0x4000].permitted.Load() {
		t.Errorf("after: got %d permissions, channels %v, want those of the 64 peers and a channel", len(after.permitted), after.byNumber)
	}
	table.together(func() {
		table.permit(old)
		table.end()
		table.permit(old)
	})
	if table.load() != &noFlows {
		t.Errorf("after the end: got %+v, want nothing", table.load())
	}
}

// peersAt are n peers with addresses of their own.
func peersAt(first, n int) (peers []netip.AddrPort) {
	for i := range n {
		peers = append(peers, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(first + i)}), 1))
	}
	return peers
}

// What a request changes is one change, however many permissions it names, and an end is the end of all permissions: the
// library takes one after the other, and each change of its own is a copy of all.
func TestRequestsAreOneChange(t *testing.T) {
	ts := newIdleServer(t, func(cfg *Config) { cfg.Allow = allow(t, "203.0.113.0/24") })
	c := learned(ts, "127.0.1.1:1", true)
	table := &ts.only().flows
	var peers []stun.Setter
	for _, peer := range peersAt(0, 64) {
		peers = append(peers, peerAddress(peer))
	}
	// request checks what is there before the library, which is held up, has the request.
	request := func(before func() bool, method stun.Method, attributes ...stun.Setter) {
		t.Helper()
		ts.control.one.Lock()
		goOn := sync.OnceFunc(ts.control.one.Unlock)
		defer goOn()
		answer := make(chan *stun.Message, 1)
		go func() { answer <- c.askSigned(method, attributes...) }()
		until(t, method.String()+" changes what it has to by itself", func() bool {
			table.mu.Lock()
			defer table.mu.Unlock()
			return before()
		})
		goOn()
		if err := wantCode(<-answer, 0); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
	request(func() bool { return table.draft != nil }, stun.MethodCreatePermission, peers...)
	if got := len(table.load().permitted); got != 64 {
		t.Errorf("there are %d permissions, want 64", got)
	}
	request(func() bool { return table.ended && table.load() == &noFlows }, stun.MethodRefresh, lifetime(0))
}
