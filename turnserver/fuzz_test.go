package turnserver

import (
	"net"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// seedRequests adds requests of all kinds, each as its type and its attributes.
func seedRequests(f *testing.F) {
	peer, even := raw(stun.AttrXORPeerAddress, 0, 1, 0, 1, 1, 1, 1, 1), raw(stun.AttrEvenPort, 0x80)
	const allocate, refresh, permit, bind = stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind
	for _, seed := range []struct {
		method stun.Method
		class  stun.MessageClass
		with   []stun.Setter
	}{
		{allocate, stun.ClassRequest, []stun.Setter{requestedUDP}},
		{allocate, stun.ClassRequest, []stun.Setter{requestedUDP, even}},
		{allocate, stun.ClassRequest, []stun.Setter{requestedUDP, requestedFamily(2), lifetime(0), raw(stun.AttrDontFragment)}},
		{allocate, stun.ClassRequest, []stun.Setter{requestedUDP, raw(stun.AttrReservationToken, make([]byte, 8)...)}},
		{allocate, stun.ClassRequest, []stun.Setter{requestedUDP, raw(attrAdditionalAddressFamily, 2, 0, 0, 0)}},
		{refresh, stun.ClassRequest, []stun.Setter{lifetime(1), requestedFamily(1)}},
		{refresh, stun.ClassRequest, []stun.Setter{lifetime(0)}},
		{permit, stun.ClassRequest, []stun.Setter{peer, peer}},
		{permit, stun.ClassRequest, []stun.Setter{raw(stun.AttrXORPeerAddress)}}, // of which the library reads two bytes
		{bind, stun.ClassRequest, []stun.Setter{channelNumber(0x4000), peer}},
		{bind, stun.ClassRequest, []stun.Setter{channelNumber(0x4000)}},
		{stun.MethodSend, stun.ClassIndication, []stun.Setter{peer, raw(stun.AttrData, 'x')}},
		{stun.MethodBinding, stun.ClassRequest, []stun.Setter{raw(stun.AttrMessageIntegrity)}},
		{stun.MethodBinding, stun.ClassRequest, []stun.Setter{stun.Fingerprint}},
	} {
		m := stun.MustBuild(append([]stun.Setter{stun.NewType(seed.method, seed.class)}, seed.with...)...)
		f.Add(m.Type.Value(), m.Raw[headerSize:])
	}
	f.Add(uint16(0), []byte{0x40, 0, 0, 1, 'x'})
}

// fuzzed is any message, of a type and attributes that may be broken.
func fuzzed(kind uint16, attributes []byte) *stun.Message {
	m := new(stun.Message)
	m.Type.ReadValue(kind)
	m.TransactionID = stun.NewTransactionID()
	m.WriteHeader()
	m.Raw = append(m.Raw, attributes...)
	m.Length = uint32(len(attributes))
	m.WriteLength()
	return m
}

// exceptFromLimits lets strangers ask as fast as a fuzz test does, and be answered.
func (ts *testServer) exceptFromLimits(clients ...*testClient) {
	for _, c := range clients {
		ts.guard.strangers.excepted.Store(unmap(c.conn.LocalAddr().(*net.UDPAddr).AddrPort()), true)
	}
}

// FuzzGuard asks the guard for anything, unsigned and signed, without and with an allocation, through the library. Strangers
// leave nothing behind; a user no more than ends with a kick.
func FuzzGuard(f *testing.F) {
	seedRequests(f)
	ts := newIdleServer(f, func(cfg *Config) { cfg.UserQuota = 3 })
	stranger := ts.at("127.0.1.1:1", "nobody")
	fresh, owner := learned(ts, "127.0.1.1:2", false), learned(ts, "127.0.1.1:3", false)
	ts.exceptFromLimits(stranger, fresh, owner)
	f.Fuzz(func(t *testing.T, kind uint16, attributes []byte) {
		if len(attributes) > 2000 {
			return
		}
		for _, c := range []*testClient{stranger, fresh, owner} {
			c.t = t
		}
		stranger.write(attributes) // any bytes
		stranger.conn.(*guardConn).answers = nil
		response := stranger.askFor(fuzzed(kind, attributes))
		if response != nil && response.Type.Class != stun.ClassErrorResponse && response.Type.Method != stun.MethodBinding {
			t.Fatalf("a stranger is answered with %v", response)
		}
		if open, users := ts.allocations.count(); open != 0 || users != 0 {
			t.Fatalf("%d allocations of %d users after what a stranger sent", open, users)
		}
		if err := wantCode(owner.askSigned(stun.MethodAllocate, requestedUDP), 0); err != nil {
			t.Fatalf("allocate: %v", err)
		}
		for _, c := range []*testClient{fresh, owner} {
			m := fuzzed(kind, attributes)
			if m.Decode() == nil { // else the signature is lost in what is broken
				for _, s := range c.credentials() {
					s.AddTo(m)
				}
			}
			if response := c.askFor(m); response != nil && response.Type.Class == stun.ClassSuccessResponse && response.Type.Method != stun.MethodBinding &&
				stun.NewLongTermIntegrity(c.username, c.realm, c.password).Check(response) != nil {
				t.Fatalf("%v is not signed", response)
			}
		}
		ts.Kick("alice", time.Time{})
		if open, users := ts.allocations.count(); open != 0 || users != 0 {
			t.Fatalf("%d allocations of %d users after a kick", open, users)
		}
	})
}

// FuzzRequest sends the server, over UDP, what a stranger and what a signed-in client with bad intentions can send: any
// packets, requests, indications and data. The server must go on. (No peer is allowed, so that none is sent anything.)
func FuzzRequest(f *testing.F) {
	seedRequests(f)
	ts := newTestServer(f, func(cfg *Config) { cfg.UserQuota, cfg.Deny = 8, allow(f, "0.0.0.0/0 ::/0") })
	c := ts.client("mallory")
	ts.exceptFromLimits(c)
	c.request(stun.MethodRefresh, lifetime(0)) // learns the nonce
	f.Fuzz(func(t *testing.T, kind uint16, attributes []byte) {
		if len(attributes) > 1000 {
			return
		}
		c.t = t
		c.write(attributes) // any packet, ChannelData too
		m := fuzzed(kind, attributes)
		c.write(m.Raw)
		for _, s := range c.credentials() {
			if err := s.AddTo(m); err != nil {
				t.Fatal(err)
			}
		}
		c.write(m.Raw)
		c.awaitBinding()
	})
}

// awaitBinding passes over all responses until that to a Binding request.
func (c *testClient) awaitBinding() {
	c.t.Helper()
	m := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	c.write(m.Raw)
	for {
		response := &stun.Message{Raw: c.read()}
		if response.Decode() == nil && response.TransactionID == m.TransactionID {
			return
		}
	}
}
