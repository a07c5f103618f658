package turnserver

import (
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

// Permissions and channels of one allocation are bounded, and what exists can be refreshed.
func TestPeersAreBounded(t *testing.T) {
	c := learned(newIdleServer(t, nil), "127.0.1.1:1", true)
	next := netip.MustParseAddr("8.8.0.0")
	more := func(n int) (peers []stun.Setter) {
		for range n {
			next = next.Next()
			peers = append(peers, peerAddress(netip.AddrPortFrom(next, 9)))
		}
		return peers
	}
	for range maxPermissions/maxPeers - 1 {
		c.wantOK(stun.MethodCreatePermission, c.askSigned(stun.MethodCreatePermission, more(maxPeers)...))
	}
	if err := wantCode(c.askSigned(stun.MethodCreatePermission, more(maxPeers)...), 0); err != nil {
		t.Fatal(err)
	}
	if err := wantCode(c.askSigned(stun.MethodCreatePermission, more(1)...), 508); err != nil {
		t.Errorf("one permission too many: %v", err)
	}
	if err := wantCode(c.askSigned(stun.MethodChannelBind, append(more(1), channelNumber(0x4000))...), 508); err != nil {
		t.Errorf("a channel with one permission too many: %v", err)
	}
	if err := wantCode(c.askSigned(stun.MethodCreatePermission, peerAt("8.8.0.1:1"), peerAt("8.8.1.0:1")), 0); err != nil {
		t.Errorf("refresh: %v", err)
	}
	bind := func(number, port int) *stun.Message {
		return c.askSigned(stun.MethodChannelBind, channelNumber(uint16(number)), peerAddress(netip.AddrPortFrom(netip.MustParseAddr("8.8.0.1"), uint16(port))))
	}
	for i := range maxChannels {
		c.wantOK(stun.MethodChannelBind, bind(minChannel+i, 1+i))
	}
	for _, tt := range []struct {
		name               string
		number, port, want int
	}{
		{"one too many", minChannel + maxChannels, 1 + maxChannels, 508},
		{"refresh", minChannel, 1, 0},
		{"number and peer of two others", minChannel, 2, 400},
		{"number of another peer", minChannel, 9999, 400},
		{"peer of another number", minChannel + 1, 1, 400},
		{"peer of a new number", minChannel + maxChannels, 1, 400},
	} {
		if err := wantCode(bind(tt.number, tt.port), tt.want); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// Channel numbers that RFC 8656 has no more are for those who ask for them.
func TestOldChannels(t *testing.T) {
	c := learned(newIdleServer(t, func(cfg *Config) { cfg.OldChannels = true }), "127.0.1.1:1", true)
	for _, tt := range []struct {
		number uint16
		want   int
	}{{0x3FFF, 400}, {0x4000, 0}, {0x4FFF, 0}, {0x5000, 0}, {0x7FFF, 0}, {0x8000, 400}} {
		peer := peerAddress(netip.AddrPortFrom(netip.MustParseAddr("8.8.8.8"), tt.number))
		if err := wantCode(c.askSigned(stun.MethodChannelBind, channelNumber(tt.number), peer), tt.want); err != nil {
			t.Errorf("channel %#x: %v", tt.number, err)
		}
	}
}
