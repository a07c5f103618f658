package turnserver

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/sigctl/sigctl/pkg/udp"
)

// Payloads of all lengths arrive as they were sent, in channels and indications, both ways.
func TestPayloads(t *testing.T) {
	ts := newTestServer(t, withAllow(t, "127.0.0.2/32"))
	p := newPeer(t, "127.0.0.2")
	bound, plain := ts.allocated("alice"), ts.allocated("alice")
	bound.wantOK(stun.MethodChannelBind, bound.bindChannel(0x4FFF, p.addr))
	plain.wantOK(stun.MethodCreatePermission, plain.permit(p.addr))
	for _, size := range []int{0, 1, 2, 3, 4, 5, 171, 172, 1199, 1200, 1472, 1473, 1600, 9000, 65_000} {
		text := noise(size)
		bound.sendChannel(0x4FFF, text)
		p.wantText(bound.relayed, text)
		p.send(bound.relayed, text)
		bound.wantText(packet{channel: 0x4FFF, text: text})
		plain.send(p.addr, text)
		p.wantText(plain.relayed, text)
		p.send(plain.relayed, text)
		plain.wantText(packet{from: p.addr, text: text})
	}
}

// A batch is relayed whole and in order, whatever lengths its packets have and whomever they are from.
func TestBatchesKeepTheirOrder(t *testing.T) {
	p, q := newPlane(t, nil), newPeer(t, "127.0.0.2")
	a, b := p.bound("alice", 0x4000, q.addr), p.bound("bob", 0x4000, q.addr)
	var batch []udp.Packet
	for i := range 60 {
		from := []*flow{a, a, a, b}[i%4].client.addr
		message := channelData(0x4000, fmt.Sprintf("%d %s", i, strings.Repeat("x", i%7*i)))
		batch = append(batch, udp.Packet{From: from, Data: []byte(message)})
	}
	p.shard.fromClients(batch)
	got := map[netip.AddrPort][]string{}
	buffer := make([]byte, 2048)
	for range batch {
		q.SetReadDeadline(time.Now().Add(patience))
		n, from, err := q.ReadFromUDPAddrPort(buffer)
		if err != nil {
			t.Fatal(err)
		}
		got[from] = append(got[from], channelData(0x4000, string(buffer[:n])))
	}
	for _, f := range []*flow{a, b} {
		for _, sent := range batch {
			if sent.From != f.client.addr {
				continue
			}
			if next := got[f.local]; len(next) == 0 || next[0] != string(sent.Data) {
				t.Fatalf("%s: got %.20q, want %.20q", f.owner.user, next[:min(1, len(next))], sent.Data)
			}
			got[f.local] = got[f.local][1:]
		}
	}
	p.wantDropped(map[string]uint64{})
}

// What cannot be relayed is dropped, and counted by reason; what comes after it is relayed.
func TestDrops(t *testing.T) {
	p, q := newPlane(t, nil), newPeer(t, "127.0.0.2")
	f := p.bound("alice", 0x4000, q.addr)
	f.flows.permit(netip.MustParseAddr("10.0.0.1"))
	f.flows.bind(0x4001, netip.MustParseAddrPort("10.0.0.1:9"))
	broken := func(change func([]byte)) string {
		message := []byte(sendTo(q.addr, "four"))
		change(message)
		return string(message)
	}
	unknown := stun.RawAttribute{Type: 0x7FFF, Value: []byte{1}}
	optional := stun.RawAttribute{Type: 0x8FFF, Value: []byte{1}}
	sendHeader := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication))
	tests := []struct {
		name, message, want string // want: the reason; none if it passes
	}{
		{"nothing", "", "malformed"},
		{"short ChannelData", "\x40\x00\x00", "malformed"},
		{"short STUN", "\x00\x16\x00\x00", "malformed"},
		{"neither", strings.Repeat("\x80", 40), "malformed"},
		{"length beyond the datagram", "\x40\x00\x00\x05four", "malformed"},
		{"padded ChannelData", channelData(0x4000, "x") + "\x00\x00\x00", ""},
		{"unbound channel", channelData(0x4002, "x"), "no_channel"},
		{"channel number out of range", channelData(0x5000, "x"), "no_channel"},
		{"channel to a forbidden peer", channelData(0x4001, "x"), "policy"},
		{"Send", sendTo(q.addr, "x"), ""},
		{"Send with an unknown attribute that is optional", sendTo(q.addr, "x", optional), ""},
		{"Send with an unknown attribute", sendTo(q.addr, "x", unknown), "malformed"},
		{"Send with DONT-FRAGMENT", sendTo(q.addr, "x", stun.RawAttribute{Type: stun.AttrDontFragment}), "malformed"},
		{"Send with two peers: the first counts", sendTo(q.addr, "x", peerAddress(netip.MustParseAddrPort("127.0.0.3:1"))), "no_permission"},
		{"Send with data behind MESSAGE-INTEGRITY", sendTo(q.addr, "x", stun.NewShortTermIntegrity("x")), "malformed"},
		{"Send without anything", string(sendHeader.Raw), "malformed"},
		{"Send with another length", broken(func(b []byte) { b[3] += 4 }), "malformed"},
		{"Send with another cookie", broken(func(b []byte) { b[4]++ }), "malformed"},
		{"Send with an attribute beyond its end", broken(func(b []byte) { b[len(b)-5] = 5 }), "malformed"},
		{"Send to an address of no family", broken(func(b []byte) { b[25] = 3 }), "malformed"},
		{"Send to IPv6", sendTo(netip.MustParseAddrPort("[2001:db8::1]:1"), "x"), "family"},
		{"Send to IPv4 in IPv6 form", sendTo(q.addr, "x", mapped(q.addr)), "family"},
		{"Send without permission", sendTo(netip.MustParseAddrPort("127.0.0.3:1"), "x"), "no_permission"},
		{"Send to a forbidden peer", sendTo(netip.MustParseAddrPort("10.0.0.1:9"), "x"), "policy"},
		{"Send to port 0", sendTo(netip.AddrPortFrom(q.addr.Addr(), 0), "x"), "policy"},
	}
	want := map[string]uint64{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.up(tt.message, channelData(0x4000, "after it"))
			if tt.want != "" {
				want[tt.want]++
			} else {
				q.wantText(f.local, "x")
			}
			q.wantText(f.local, "after it")
			p.t = t
			p.wantDropped(want)
		})
	}
}

// Who has no allocation, or none any more, relays nothing.
func TestWithoutAllocation(t *testing.T) {
	p, q := newPlane(t, nil), newPeer(t, "127.0.0.2")
	f, other := p.bound("alice", 0x4000, q.addr), p.bound("bob", 0x4000, q.addr)
	f.end()
	f.up(channelData(0x4000, "x"), sendTo(q.addr, "x"))
	p.wantDropped(map[string]uint64{"no_allocation": 2})
	f.flows.permit(q.addr.Addr()) // the library does not know yet
	if f.flows.load().permitted != nil {
		t.Error("an ended allocation takes permissions")
	}
	f.down(q.addr, "x")
	p.wantDropped(map[string]uint64{"no_allocation": 2, "no_permission": 1})
	other.up(channelData(0x4000, "marker"))
	q.wantText(other.local, "marker")
}

// A channel may outlive the permission that came with it, which is needed nevertheless (RFC 8656 section 12).
func TestPermissionEndsBeforeItsChannel(t *testing.T) {
	p, q := newPlane(t, nil), newPeer(t, "127.0.0.2")
	f := p.bound("alice", 0x4000, q.addr)
	pass := func() {
		t.Helper()
		f.up(channelData(0x4000, "up"))
		q.wantText(f.local, "up")
		f.down(q.addr, "down")
		f.wantText(channelData(0x4000, "down"))
	}
	pass()
	f.flows.forbid(q.addr.Addr())
	f.up(channelData(0x4000, "x"), sendTo(q.addr, "x"))
	f.down(q.addr, "x")
	p.wantDropped(map[string]uint64{"no_permission": 3})
	f.flows.permit(q.addr.Addr())
	pass()
	f.flows.unbind(0x4000, q.addr)
	f.up(channelData(0x4000, "x"))
	p.wantDropped(map[string]uint64{"no_permission": 3, "no_channel": 1})
	f.up(sendTo(q.addr, "up"))
	q.wantText(f.local, "up")
	f.down(q.addr, "down")
	f.wantData(q.addr, "down")
	f.flows.bind(0x4007, q.addr)
	f.down(q.addr, "down")
	f.wantText(channelData(0x4007, "down"))
}

// A new policy holds from the next packet on, for channels and indications, both ways.
func TestPolicyChanges(t *testing.T) {
	p, q := newPlane(t, nil), newPeer(t, "127.0.0.2")
	bound, plain := p.bound("alice", 0x4000, q.addr), p.flow("alice")
	plain.flows.permit(q.addr.Addr())
	for i := range uint64(3) {
		bound.up(channelData(0x4000, "up"))
		q.wantText(bound.local, "up")
		plain.up(sendTo(q.addr, "up"))
		q.wantText(plain.local, "up")
		bound.down(q.addr, "down")
		bound.wantText(channelData(0x4000, "down"))
		plain.down(q.addr, "down")
		plain.wantData(q.addr, "down")

		if err := p.SetPeers(nil, allow(t, "127.0.0.2/32")); err != nil {
			t.Fatal(err)
		}
		bound.up(channelData(0x4000, "x"))
		plain.up(sendTo(q.addr, "x"))
		bound.down(q.addr, "x")
		plain.down(q.addr, "x")
		p.wantDropped(map[string]uint64{"policy": 4 * (i + 1)})
		if err := p.SetPeers(allow(t, "127.0.0.2/32"), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// Datagrams that the way to the client cannot carry are dropped, and counted.
func TestTooLong(t *testing.T) {
	p, q := newPlane(t, nil), newPeer(t, "127.0.0.2")
	bound, plain := p.bound("alice", 0x4000, q.addr), p.flow("alice")
	plain.flows.permit(q.addr.Addr())
	longest := noise(maxDatagram - channelHeader)
	bound.down(q.addr, longest, longest+"x")
	bound.wantText(channelData(0x4000, longest))
	longest = longest[:maxDatagram-headerSize-12-attributeHeader-3]
	plain.down(q.addr, longest, longest+strings.Repeat("x", 4))
	plain.wantData(q.addr, longest)
	p.wantDropped(map[string]uint64{"queue": 2})
}

// Quotas count both directions of all allocations of a user, or of all.
func TestBandwidth(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		other  uint64 // drops of another user's packet
	}{
		{"of a user", func(cfg *Config) { cfg.UserBandwidth = 1 }, 0},
		{"of all", func(cfg *Config) { cfg.Bandwidth = 1 }, 1},
		{"none", func(cfg *Config) { cfg.UserBandwidth = -1 }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, q := newPlane(t, tt.change), newPeer(t, "127.0.0.2")
			one, two, other := p.bound("alice", 0x4000, q.addr), p.bound("alice", 0x4000, q.addr), p.bound("bob", 0x4000, q.addr)
			want := map[string]uint64{"bandwidth": 3 + tt.other}
			if tt.name == "none" {
				want = map[string]uint64{}
			}
			one.up(channelData(0x4000, "takes three minutes' worth of the bound, more or less, to come back in all, or even longer than that it may be"))
			one.up(channelData(0x4000, "x"))
			two.up(channelData(0x4000, "x"))
			two.down(q.addr, "x")
			other.up(channelData(0x4000, "x"))
			p.wantDropped(want)
		})
	}
}
