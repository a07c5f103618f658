package turnserver

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// learned returns a client at an address that has a nonce, and an allocation if it is to have one.
func learned(ts *testServer, from string, allocated bool) *testClient {
	ts.t.Helper()
	c := ts.at(from, "alice")
	var nonce stun.Nonce
	if err := nonce.GetFrom(c.ask(stun.MethodAllocate)); err != nil {
		ts.t.Fatalf("challenge: %v", err)
	}
	c.nonce = nonce.String()
	if allocated {
		if err := wantCode(c.askSigned(stun.MethodAllocate, requestedUDP), 0); err != nil {
			ts.t.Fatalf("allocate: %v", err)
		}
	}
	return c
}

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

// What cannot be authenticated is refused without a signature, and with what is needed to sign.
func TestAuthentication(t *testing.T) {
	ts := newIdleServer(t, nil)
	c := learned(ts, "127.0.1.1:1", false)
	user, realm, nonce := stun.NewUsername(c.username), stun.NewRealm(c.realm), stun.NewNonce(c.nonce)
	key := stun.NewLongTermIntegrity(c.username, c.realm, c.password)
	elsewhere := learned(ts, "127.0.1.1:2", false).nonce
	tests := []struct {
		name string
		with []stun.Setter
		want int
	}{
		{"nothing", nil, 401},
		{"no integrity", []stun.Setter{user, realm, nonce}, 401},
		{"SHA-256 alone", []stun.Setter{user, realm, nonce, raw(stun.AttrMessageIntegritySHA256, make([]byte, 32)...)}, 401},
		{"no user name", []stun.Setter{realm, nonce, key}, 400},
		{"no realm", []stun.Setter{user, nonce, key}, 400},
		{"no nonce", []stun.Setter{user, realm, key}, 400},
		{"user name after integrity", []stun.Setter{realm, nonce, key, user}, 400},
		{"nonce of another port", []stun.Setter{user, realm, stun.NewNonce(elsewhere), key}, 438},
		{"nonce of nobody", []stun.Setter{user, realm, stun.NewNonce("00000000000000000000000000ff"), key}, 438},
		{"nonce that is none", []stun.Setter{user, realm, stun.NewNonce("zz"), key}, 438},
		{"empty nonce", []stun.Setter{user, realm, stun.NewNonce(""), key}, 438},
		{"another realm", []stun.Setter{user, stun.NewRealm("other.com"), nonce, stun.NewLongTermIntegrity(c.username, "other.com", c.password)}, 401},
		{"unknown user", []stun.Setter{stun.NewUsername("nobody"), realm, nonce, key}, 401},
		{"no user", []stun.Setter{stun.NewUsername(""), realm, nonce, stun.NewLongTermIntegrity("", c.realm, "")}, 401},
		{"wrong password", []stun.Setter{user, realm, nonce, stun.NewLongTermIntegrity(c.username, c.realm, "wrong")}, 401},
		{"short integrity", []stun.Setter{user, realm, nonce, raw(stun.AttrMessageIntegrity, 1, 2, 3, 4)}, 401},
		{"empty integrity", []stun.Setter{user, realm, nonce, raw(stun.AttrMessageIntegrity)}, 401},
		{"wrong integrity first", []stun.Setter{user, realm, nonce, raw(stun.AttrMessageIntegrity, make([]byte, 20)...), key}, 401},
		{"the first user name counts", []stun.Setter{user, stun.NewUsername("nobody"), realm, nonce, key}, 437},
		{"good", []stun.Setter{user, realm, nonce, key}, 437},
		{"good, and more after integrity", []stun.Setter{user, realm, nonce, key, raw(0x7001), raw(stun.AttrMessageIntegrity)}, 437},
	}
	for _, tt := range tests {
		response := c.ask(stun.MethodRefresh, tt.with...)
		if err := wantCode(response, tt.want); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got, want := response.Contains(stun.AttrNonce) && response.Contains(stun.AttrRealm), tt.want == 401 || tt.want == 438; got != want {
			t.Errorf("%s: realm and nonce %v, want %v: %v", tt.name, got, want, response)
		}
		if got, want := response.Contains(stun.AttrMessageIntegrity), tt.want == 437; got != want {
			t.Errorf("%s: signed %v, want %v", tt.name, got, want)
		}
		if response.Contains(stun.AttrSoftware) {
			t.Errorf("%s: tells its software", tt.name)
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
		{"bytes at the end", edit(func(b []byte) []byte { return append(b, 0, 0, 0, 0) }), true},
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

// An Allocate request that comes again gets the answer again, and opens nothing. The answer has what was asked for.
func TestAllocateAgain(t *testing.T) {
	ts := newIdleServer(t, nil)
	c := learned(ts, "127.0.1.1:1", false)
	m := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), requestedUDP,
		raw(stun.AttrEvenPort, 0x80)}, append(c.credentials(), stun.Fingerprint)...)...)
	first, second := c.askFor(m), c.askFor(m)
	if err := wantCode(first, 0); err != nil || second == nil || !bytes.Equal(first.Raw, second.Raw) {
		t.Fatalf("got %v, and then %v: %v", first, second, err)
	}
	if stun.Fingerprint.Check(first) != nil || stun.NewLongTermIntegrity(c.username, c.realm, c.password).Check(first) != nil {
		t.Errorf("fingerprint or integrity of %v are wrong", first)
	}
	for _, want := range []stun.AttrType{stun.AttrXORRelayedAddress, stun.AttrXORMappedAddress, stun.AttrLifetime, stun.AttrReservationToken} {
		if !first.Contains(want) {
			t.Errorf("got %v, want %v in it", first, want)
		}
	}
	if got := ts.Stats(); got.AllocationsCreated != 1 || got.Reservations != 1 {
		t.Errorf("got %d allocations and %d reservations, want one of each", got.AllocationsCreated, got.Reservations)
	}
	bob := ts.at("127.0.1.1:1", "bob") // cannot be told what is alice's
	bob.nonce = c.nonce
	again := stun.MustBuild(append([]stun.Setter{m, stun.NewType(stun.MethodAllocate, stun.ClassRequest), requestedUDP}, bob.credentials()...)...)
	if err := wantCode(bob.askFor(again), 437); err != nil {
		t.Errorf("another user with that transaction id: %v", err)
	}
}

func TestAdditionalFamily(t *testing.T) {
	c := learned(newIdleServer(t, nil), "127.0.1.1:1", false)
	response := c.askSigned(stun.MethodAllocate, requestedUDP, raw(attrAdditionalAddressFamily, 2, 0, 0, 0))
	got, _ := response.Get(attrAddressErrorCode)
	if err := wantCode(response, 0); err != nil || len(got) < 4 || !bytes.Equal(got[:4], []byte{2, 0, 4, 40}) {
		t.Errorf("got %v, address error %x: %v, want a relay and 440 for IPv6", response, got, err)
	}
}

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
		{"number of another peer", minChannel, 2, 400},
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

// A server that drains sends clients elsewhere, and keeps those that it has.
func TestDrainRefuses(t *testing.T) {
	for _, tt := range []struct {
		alternate string
		want      int
	}{{"192.0.2.1:3478", 300}, {"[2001:db8::1]:3478", 486}, {"", 486}} {
		ts := newIdleServer(t, nil)
		old, fresh := learned(ts, "127.0.1.1:1", true), learned(ts, "127.0.1.1:2", false)
		var alternate netip.AddrPort
		if tt.alternate != "" {
			alternate = netip.MustParseAddrPort(tt.alternate)
		}
		drained := make(chan error, 1)
		ts.guard.alternate.Store(&alternate) // as Drain does first
		go func() { drained <- ts.Drain(t.Context(), alternate) }()
		response := fresh.askSigned(stun.MethodAllocate, requestedUDP)
		if err := wantCode(response, tt.want); err != nil {
			t.Errorf("alternate %q: %v", tt.alternate, err)
		}
		var server stun.AlternateServer
		if err := server.GetFrom(response); (err == nil) != (tt.want == 300) || err == nil && netip.AddrPortFrom(addrOf(server.IP), uint16(server.Port)) != alternate {
			t.Errorf("alternate %q: got %v, %v", tt.alternate, server, err)
		}
		if err := wantCode(fresh.ask(stun.MethodAllocate, requestedUDP), 401); err != nil {
			t.Errorf("alternate %q for strangers: %v", tt.alternate, err)
		}
		for _, seconds := range []uint32{600, 0} {
			if err := wantLifetime(old.askSigned(stun.MethodRefresh, lifetime(seconds)), seconds); err != nil {
				t.Errorf("alternate %q, Refresh(%d): %v", tt.alternate, seconds, err)
			}
		}
		if err := <-drained; err != nil {
			t.Errorf("drain: %v", err)
		}
	}
}

// Who is kicked while the allocation is opened is refused like a stranger; the answers say why others are.
func TestOpenErrors(t *testing.T) {
	ts := newIdleServer(t, nil)
	for _, tt := range []struct {
		err  error
		want stun.ErrorCode
	}{
		{errKicked, 401}, {errUserQuota, 486}, {errFull, 508}, {errNoPort, 508}, {errNoToken, 508}, {errFamily, 440}, {errDraining, 486},
		{fmt.Errorf("wrapped: %w", errNoPort), 508},
	} {
		r := &request{client: ts.at("127.0.1.1:1", "alice").conn.(*guardConn).client}
		if got, ok := ts.guard.refused(r, tt.err).(*refusal); !ok || got.code != tt.want {
			t.Errorf("%v: got %v, want %d", tt.err, got, tt.want)
		}
	}
}

// 2 000 lives of one five-tuple, one after the other: none is lost to the end of the one before.
func TestSuccessors(t *testing.T) {
	ts := newTestServer(t, nil)
	c := ts.client("alice")
	for i := range 2_000 {
		if code := errorCode(c.request(stun.MethodAllocate, requestedUDP)); code != 0 {
			t.Fatalf("Allocate %d: got %d", i, code)
		}
		if code := errorCode(c.request(stun.MethodRefresh, lifetime(0))); code != 0 {
			t.Fatalf("Refresh %d: got %d", i, code)
		}
	}
	if got := ts.Stats().Allocations; got != 0 {
		t.Errorf("%d allocations are left", got)
	}
}

// The 20 bytes that make the library's framer spin end the connection that sends them, and nothing else.
func TestTwentyBytes(t *testing.T) {
	ts := newTestServer(t, withTLS(t, everywhere))
	spin := append([]byte{0, 1, 0xFF, 0xEC, 0x21, 0x12, 0xA4, 0x42}, make([]byte, 12)...)
	for _, transport := range []Transport{TCP, TLS} {
		c := ts.over(transport, "mallory")
		c.write(spin)
		c.conn.SetReadDeadline(time.Now().Add(patience))
		if n, err := c.conn.Read(make([]byte, 100)); err == nil || isTimeout(err) {
			t.Errorf("%v: got %d bytes, %v, want the connection closed", transport, n, err)
		}
	}
	c := ts.over(DTLS, "mallory")
	c.write(spin)
	for _, transport := range []Transport{UDP, TCP, TLS, DTLS} {
		ts.over(transport, "alice").allocate()
	}
	if got := ts.Stats().Allocations; got != 4 {
		t.Errorf("got %d allocations, want 4", got)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(interface{ Timeout() bool })
	return ok && timeout.Timeout()
}

// 401 and 438 are the same length for everybody, and do not answer much more than was asked.
func TestChallengeIsShort(t *testing.T) {
	c := newIdleServer(t, nil).at("8.8.8.8:1", "alice")
	if got := c.ask(stun.MethodAllocate, requestedUDP); len(got.Raw) > 100 {
		t.Errorf("got %d bytes for 28, want 100 at most", len(got.Raw))
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
