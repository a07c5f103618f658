package turnserver

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/pion/stun/v3"
)

// Every request is answered by one code. (Those that the library gets wrong are in TestWhatTheLibraryGetsWrong.)
func TestGuardCodes(t *testing.T) {
	ts := newIdleServer(t, func(cfg *Config) { cfg.UserQuota = 1000; cfg.Deny = allow(t, "9.9.9.0/24") })
	const allocate, refresh, permit, bind = stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind
	good, denied := exactly("8.8.8.8:53"), exactly("9.9.9.9:53")
	none := stun.RawAttribute{Type: stun.AttrSoftware, Value: []byte("test")} // says nothing
	many := make([]stun.Setter, maxPeers+1)
	for i := range many {
		many[i] = good
	}
	tests := []struct {
		name      string
		allocated bool
		method    stun.Method
		with      []stun.Setter
		want      int
	}{
		{"transport missing", false, allocate, nil, 400},
		{"transport too short", false, allocate, []stun.Setter{raw(stun.AttrRequestedTransport, 17)}, 400},
		{"lifetime too short", false, allocate, []stun.Setter{requestedUDP, raw(stun.AttrLifetime, 1, 2)}, 400},
		{"even port too long", false, allocate, []stun.Setter{requestedUDP, raw(stun.AttrEvenPort, 0, 0)}, 400},
		{"family too short", false, allocate, []stun.Setter{requestedUDP, raw(stun.AttrRequestedAddressFamily, 1)}, 400},
		{"family unknown", false, allocate, []stun.Setter{requestedUDP, requestedFamily(3)}, 440},
		{"IPv6 without an address", false, allocate, []stun.Setter{requestedUDP, requestedFamily(2)}, 440},
		{"IPv4 by name", false, allocate, []stun.Setter{requestedUDP, requestedFamily(1)}, 0},
		{"token and even port", false, allocate, []stun.Setter{requestedUDP, raw(stun.AttrReservationToken, make([]byte, 8)...), raw(stun.AttrEvenPort, 0)}, 400},
		{"token and family", false, allocate, []stun.Setter{requestedUDP, raw(stun.AttrReservationToken, make([]byte, 8)...), requestedFamily(1)}, 400},
		{"token unknown", false, allocate, []stun.Setter{requestedUDP, raw(stun.AttrReservationToken, []byte("reserved")...)}, 508},
		{"token of zeroes", false, allocate, []stun.Setter{requestedUDP, raw(stun.AttrReservationToken, make([]byte, 8)...)}, 508},
		{"token too short", false, allocate, []stun.Setter{requestedUDP, raw(stun.AttrReservationToken, 1)}, 400},
		{"additional IPv4", false, allocate, []stun.Setter{requestedUDP, raw(attrAdditionalAddressFamily, 1, 0, 0, 0)}, 400},
		{"additional and requested", false, allocate, []stun.Setter{requestedUDP, raw(attrAdditionalAddressFamily, 2, 0, 0, 0), requestedFamily(1)}, 400},
		{"additional and token", false, allocate, []stun.Setter{requestedUDP, raw(attrAdditionalAddressFamily, 2, 0, 0, 0), raw(stun.AttrReservationToken, make([]byte, 8)...)}, 400},
		{"additional and reserved", false, allocate, []stun.Setter{requestedUDP, raw(attrAdditionalAddressFamily, 2, 0, 0, 0), raw(stun.AttrEvenPort, 0x80)}, 400},
		{"dont fragment", false, allocate, []stun.Setter{requestedUDP, raw(stun.AttrDontFragment)}, 420},
		{"access token", false, allocate, []stun.Setter{requestedUDP, raw(0x001B, 1, 2, 3, 4)}, 420},
		{"userhash", false, allocate, []stun.Setter{requestedUDP, raw(stun.AttrUserhash, 1, 2, 3, 4)}, 420},
		{"SHA-256", false, allocate, []stun.Setter{requestedUDP, raw(stun.AttrMessageIntegritySHA256, make([]byte, 32)...)}, 420},
		{"optional unknown", false, allocate, []stun.Setter{requestedUDP, raw(0xC001, 1)}, 0},
		{"known and not for it", false, allocate, []stun.Setter{requestedUDP, good, raw(stun.AttrData, 1), raw(stun.AttrErrorCode)}, 0},
		{"the first transport counts", false, allocate, []stun.Setter{requestedUDP, raw(stun.AttrRequestedTransport, 6, 0, 0, 0)}, 0},
		{"twice", true, allocate, []stun.Setter{requestedUDP}, 437},

		{"nothing to refresh", false, refresh, nil, 437},
		{"refresh", true, refresh, nil, 0},
		{"refresh of the family", true, refresh, []stun.Setter{requestedFamily(1)}, 0},
		{"refresh of the other family", true, refresh, []stun.Setter{requestedFamily(2)}, 443},
		{"refresh, lifetime too long", true, refresh, []stun.Setter{raw(stun.AttrLifetime, 0, 0, 0, 0, 0)}, 400},
		{"refresh, dont fragment", true, refresh, []stun.Setter{raw(stun.AttrDontFragment)}, 420},
		{"end", true, refresh, []stun.Setter{lifetime(0)}, 0},

		{"permission without allocation", false, permit, []stun.Setter{good}, 437},
		{"permission for nobody", true, permit, nil, 400},
		{"permission", true, permit, []stun.Setter{good}, 0},
		{"permission at port 0", true, permit, []stun.Setter{exactly("8.8.8.8:0")}, 0},
		{"permission for one twice", true, permit, []stun.Setter{good, good}, 0},
		{"permission denied", true, permit, []stun.Setter{denied}, 403},
		{"permission denied at last", true, permit, []stun.Setter{good, denied}, 403},
		{"permission for IPv6", true, permit, []stun.Setter{good, exactly("[2606:4700::1]:53")}, 443},
		{"permission for IPv4 in IPv6 form", true, permit, []stun.Setter{exactly("[::ffff:8.8.8.8]:53")}, 443},
		{"permission for a broken address", true, permit, []stun.Setter{good, raw(stun.AttrXORPeerAddress, 0, 1, 0, 0, 1)}, 400},
		{"permission for an empty address", true, permit, []stun.Setter{raw(stun.AttrXORPeerAddress)}, 400},
		{"permission of an unknown family", true, permit, []stun.Setter{raw(stun.AttrXORPeerAddress, 0, 3, 0, 0, 1, 1, 1, 1)}, 400},
		{"permission for too many at once", true, permit, many, 400},

		{"channel without allocation", false, bind, []stun.Setter{channelNumber(0x4000), good}, 437},
		{"channel", true, bind, []stun.Setter{channelNumber(0x4FFF), good}, 0},
		{"channel without number", true, bind, []stun.Setter{good}, 400},
		{"channel without peer", true, bind, []stun.Setter{channelNumber(0x4000)}, 400},
		{"channel number too low", true, bind, []stun.Setter{channelNumber(0x3FFF), good}, 400},
		{"channel number too high", true, bind, []stun.Setter{channelNumber(0x5000), good}, 400},
		{"channel number too short", true, bind, []stun.Setter{raw(stun.AttrChannelNumber, 0x40, 0), good}, 400},
		{"channel to port 0", true, bind, []stun.Setter{channelNumber(0x4000), exactly("8.8.8.8:0")}, 400},
		{"channel denied", true, bind, []stun.Setter{channelNumber(0x4000), denied}, 403},
		{"channel to IPv6", true, bind, []stun.Setter{channelNumber(0x4000), exactly("[2606:4700::1]:53")}, 443},
		{"channel to IPv4 in IPv6 form", true, bind, []stun.Setter{channelNumber(0x4000), exactly("[::ffff:8.8.8.8]:53")}, 443},
		{"channel to ourselves", true, bind, []stun.Setter{channelNumber(0x4000), exactPeer(ts.listeners[0].address)}, 403},
	}
	for i, tt := range tests {
		c := learned(ts, fmt.Sprintf("127.0.1.1:%d", 1000+i), tt.allocated)
		if err := wantCode(c.ask(tt.method, append([]stun.Setter{none}, tt.with...)...), 401); err != nil {
			t.Errorf("%s, not signed: %v", tt.name, err)
		}
		response := c.askSigned(tt.method, tt.with...)
		if err := wantCode(response, tt.want); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if err := stun.NewLongTermIntegrity(c.username, c.realm, c.password).Check(response); err != nil {
			t.Errorf("%s: the response is not signed: %v", tt.name, err)
		}
	}
}

// What is no request of ours gets no answer at all.
func TestNoAnswer(t *testing.T) {
	ts := newIdleServer(t, nil)
	c := ts.at("127.0.1.1:1", "alice")
	edit := func(change func([]byte) []byte) *stun.Message {
		m := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
		return &stun.Message{TransactionID: m.TransactionID, Raw: change(m.Raw)}
	}
	build := func(method stun.Method, class stun.MessageClass, with ...stun.Setter) *stun.Message {
		return stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(method, class)}, with...)...)
	}
	tests := []struct {
		name      string
		m         *stun.Message
		malformed bool
	}{
		{"cookie", edit(func(b []byte) []byte { b[4]++; return b }), true},
		{"length too long", edit(func(b []byte) []byte { b[3] += 4; return b }), true},
		{"length too short", edit(func(b []byte) []byte { b[3] -= 4; return b }), true},
		{"bytes at the end", edit(func(b []byte) []byte { b[3] = 0; return append(b[:headerSize], 0, 0, 0, 0) }), true},
		{"length not of words", edit(func(b []byte) []byte { b[3]++; return append(b, 0) }), true},
		{"attribute beyond the end", edit(func(b []byte) []byte { b[23] += 4; return b }), true},
		{"fingerprint", edit(func(b []byte) []byte { b[27]++; return b }), true},
		{"header alone, half", &stun.Message{Raw: make([]byte, 10)}, true},
		{"fingerprint not last", build(stun.MethodBinding, stun.ClassRequest, stun.Fingerprint, raw(stun.AttrSoftware)), true},
		{"two fingerprints", build(stun.MethodBinding, stun.ClassRequest, stun.Fingerprint, stun.Fingerprint), true},
		{"longer than any request", build(stun.MethodBinding, stun.ClassRequest, raw(stun.AttrSoftware, make([]byte, maxRequest)...)), true},
		{"unknown method", build(0x0FF, stun.ClassRequest), true},
		{"Connect", build(stun.MethodConnect, stun.ClassRequest), true},
		{"response", build(stun.MethodAllocate, stun.ClassSuccessResponse), false},
		{"error response", build(stun.MethodBinding, stun.ClassErrorResponse), false},
		{"indication", build(stun.MethodBinding, stun.ClassIndication), false},
		{"Data indication", build(stun.MethodData, stun.ClassIndication), false},
	}
	for _, tt := range tests {
		before := ts.total().Dropped["malformed"]
		if got := c.askFor(tt.m); got != nil {
			t.Errorf("%s: got %v, want no answer", tt.name, got)
		}
		if got := ts.total().Dropped["malformed"] - before; (got == 1) != tt.malformed {
			t.Errorf("%s: counted %d times, want counted %v", tt.name, got, tt.malformed)
		}
	}
}

func TestBindingAtTheGuard(t *testing.T) {
	ts := newIdleServer(t, nil)
	for _, from := range []string{"8.8.8.8:1234", "[2606:4700::1]:65535"} {
		c := ts.at(from, "alice")
		var mapped stun.XORMappedAddress
		response := c.ask(stun.MethodBinding)
		if err := mapped.GetFrom(response); err != nil || mapped.String() != from || response.Contains(stun.AttrFingerprint) {
			t.Errorf("from %s: got %v, %v", from, mapped, err)
		}
		if response = c.ask(stun.MethodBinding, stun.Fingerprint); stun.Fingerprint.Check(response) != nil {
			t.Errorf("from %s: the fingerprint is missing or wrong in %v", from, response)
		}
		response = c.ask(stun.MethodBinding, raw(stun.AttrChangeRequest, 0, 0, 0, 6))
		unknown, _ := response.Get(stun.AttrUnknownAttributes)
		if err := wantCode(response, 420); err != nil || !bytes.Equal(unknown, []byte{0, 3}) {
			t.Errorf("CHANGE-REQUEST: %v, unknown attributes %x", err, unknown)
		}
	}
}

// A message is read where it lies: nothing is written behind it.
func TestGuardWritesNothing(t *testing.T) {
	ts := newIdleServer(t, nil)
	c := learned(ts, "127.0.1.1:1", false)
	m := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassRequest)}, append(c.credentials(), stun.Fingerprint)...)...)
	batch := append(slices.Clone(m.Raw), bytes.Repeat([]byte{0xAA}, 200)...)
	before := slices.Clone(batch)
	ts.guard.handle(c.conn.(*guardConn).client, batch[:len(m.Raw)])
	if !bytes.Equal(batch, before) {
		t.Error("the guard has changed its input, or what lies behind it")
	}
}
