package turnserver

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/stun/v3"
)

// FuzzParseSend compares the parser of Send indications with the library's: what ours accepts, the library reads in the
// same way.
func FuzzParseSend(f *testing.F) {
	for _, peer := range []string{"192.0.2.1:1", "[2001:db8::1]:65535"} {
		for _, text := range []string{"", "x", "four", "longer"} {
			f.Add([]byte(sendTo(netip.MustParseAddrPort(peer), text)))
		}
	}
	f.Add([]byte(sendTo(netip.MustParseAddrPort("192.0.2.1:1"), "x", stun.NewSoftware("test"), stun.NewShortTermIntegrity("x"))))
	f.Fuzz(func(t *testing.T, message []byte) {
		if len(message) < headerSize || message[0]>>6 != 0 {
			return
		}
		peer, payload, ok := parseSend(message)
		if !ok {
			return
		}
		m := &stun.Message{Raw: bytes.Clone(message)}
		if err := m.Decode(); err != nil {
			t.Fatalf("the library: %v", err)
		}
		if value, err := m.Get(stun.AttrXORPeerAddress); err == nil && len(value) > 0 {
			value[0] = 0 // to be ignored (RFC 8489 section 14.1), which the library does not
		}
		var address stun.XORMappedAddress
		if err := address.GetFromAs(m, stun.AttrXORPeerAddress); err != nil || addrOf(address.IP) != peer.Addr().Unmap() || address.Port != int(peer.Port()) {
			t.Errorf("peer: got %v, the library %v, %v", peer, address, err)
		}
		if data, err := m.Get(stun.AttrData); err != nil || !bytes.Equal(data, payload) {
			t.Errorf("data: got %q, the library %q, %v", payload, data, err)
		}
	})
}

// What we write, the library and our own parser read.
func TestDataIndication(t *testing.T) {
	for _, peer := range []string{"192.0.2.1:1", "[2001:db8::1]:65535"} {
		for size := range 9 {
			want := packet{from: netip.MustParseAddrPort(peer), text: strings.Repeat("x", size)}
			raw := appendData(nil, want.from, []byte(want.text))
			c := &testClient{t: t, name: "the library"}
			if got := c.parse(raw); got != want {
				t.Errorf("the library reads %+v, want %+v", got, want)
			}
			if peer, payload, ok := parseSend(raw); !ok || peer != want.from || string(payload) != want.text {
				t.Errorf("our parser: got %v, %q, %v, want %+v", peer, payload, ok, want)
			}
		}
	}
}
