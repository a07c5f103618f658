package turnserver

import (
	"testing"

	"github.com/pion/stun/v3"
)

// FuzzRequest sends what a stranger and what a signed-in client with bad intentions can send: any attributes, in any
// request or indication, unsigned and signed. The server must go on.
func FuzzRequest(f *testing.F) {
	for _, m := range []*stun.Message{
		stun.MustBuild(stun.NewType(stun.MethodAllocate, stun.ClassRequest), requestedUDP),
		stun.MustBuild(stun.NewType(stun.MethodAllocate, stun.ClassRequest), requestedUDP, stun.RawAttribute{Type: stun.AttrEvenPort, Value: []byte{0x80}}),
		stun.MustBuild(stun.NewType(stun.MethodRefresh, stun.ClassRequest), lifetime(1)),
		stun.MustBuild(stun.NewType(stun.MethodCreatePermission, stun.ClassRequest), stun.RawAttribute{Type: stun.AttrXORPeerAddress, Value: []byte{0, 1, 0, 1, 1, 1, 1, 1}}),
		stun.MustBuild(stun.NewType(stun.MethodChannelBind, stun.ClassRequest), channelNumber(0x4000)),
		stun.MustBuild(stun.NewType(stun.MethodSend, stun.ClassIndication), stun.RawAttribute{Type: stun.AttrData, Value: []byte("x")}),
		stun.MustBuild(stun.BindingRequest, stun.RawAttribute{Type: stun.AttrMessageIntegrity}),
	} {
		f.Add(m.Type.Value(), m.Raw[20:])
	}
	f.Add(uint16(0), []byte{0x40, 0, 0, 1, 'x'})
	ts := newTestServer(f, func(cfg *Config) { cfg.UserQuota = 8 })
	c := ts.client("mallory")
	c.request(stun.MethodRefresh, lifetime(0)) // learns the nonce
	f.Fuzz(func(t *testing.T, kind uint16, attributes []byte) {
		if len(attributes) > 1000 {
			return
		}
		c.t = t
		c.write(attributes) // any packet, ChannelData too
		m := new(stun.Message)
		m.Type.ReadValue(kind)
		m.TransactionID = stun.NewTransactionID()
		m.WriteHeader()
		m.Raw = append(m.Raw, attributes...)
		m.Length = uint32(len(attributes))
		m.WriteLength()
		c.write(m.Raw)
		for _, s := range []stun.Setter{stun.NewUsername(c.username), stun.NewRealm(c.realm), stun.NewNonce(c.nonce),
			stun.NewLongTermIntegrity(c.username, c.realm, c.password)} {
			if err := s.AddTo(m); err != nil {
				t.Fatal(err)
			}
		}
		c.write(m.Raw)
		c.awaitBinding()
	})
}

// awaitBinding passes over all responses until that to a Binding request.
func (c *client) awaitBinding() {
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
