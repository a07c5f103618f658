package turnserver

import (
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

// Who waits on for the end of a drain need not say again where clients are sent, and can change it.
func TestDrainAgain(t *testing.T) {
	ts := newIdleServer(t, nil)
	c := learned(ts, "127.0.1.1:1", false)
	for _, tt := range []struct{ alternate, want string }{
		{"", ""}, {"192.0.2.1:3478", "192.0.2.1:3478"}, {"", "192.0.2.1:3478"}, {"192.0.2.2:3478", "192.0.2.2:3478"}, {"", "192.0.2.2:3478"},
	} {
		var alternate netip.AddrPort
		if tt.alternate != "" {
			alternate = netip.MustParseAddrPort(tt.alternate)
		}
		if err := ts.Drain(t.Context(), alternate); err != nil {
			t.Fatalf("drain: %v", err)
		}
		response := c.askSigned(stun.MethodAllocate, requestedUDP)
		want := 300
		if tt.want == "" {
			want = 486
		}
		if err := wantCode(response, want); err != nil {
			t.Errorf("alternate %q: %v", tt.alternate, err)
			continue
		}
		var server stun.AlternateServer
		if err := server.GetFrom(response); want == 300 && (err != nil || netip.AddrPortFrom(addrOf(server.IP), uint16(server.Port)).String() != tt.want) {
			t.Errorf("alternate %q: clients are sent to %v (%v), want %s", tt.alternate, server, err, tt.want)
		}
	}
}
