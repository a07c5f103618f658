//go:build linux && !race

package turnserver

import (
	"strings"
	"testing"

	"github.com/sigctl/sigctl/pkg/udp"
)

// Nothing is allocated for a packet. (Under the race detector pools forget at random; with the one-packet sockets of other
// systems the net package may allocate.)
func TestNothingIsAllocatedPerPacket(t *testing.T) {
	p, q := newPlane(t, nil), newPeer(t, "127.0.0.2")
	f, target := p.bound("alice", 0x4000, q.addr), p.bound("bob", 0x4000, q.addr)
	f.flows.permit(target.local.Addr())
	f.flows.bind(0x4001, target.local)
	target.flows.permit(f.local.Addr())
	plain := p.flow("alice")
	plain.flows.permit(q.addr.Addr())
	text := strings.Repeat("x", 1199)
	fromClient := func(f *flow, message string) func() {
		packets := []udp.Packet{{From: f.client.addr, Data: []byte(message)}, {From: f.client.addr, Data: []byte(message)}}
		return func() { p.shard.fromClients(packets) }
	}
	fromPeer := func(f *flow) func() {
		packets := []udp.Packet{{From: q.addr, Data: []byte(text)}, {From: q.addr, Data: []byte(text[1:])}}
		return func() { f.fromPeers(f.batch, packets) }
	}
	for name, handle := range map[string]func(){
		"channel, up":                 fromClient(f, channelData(0x4000, text)),
		"channel, down":               fromPeer(f),
		"Send indication":             fromClient(plain, sendTo(q.addr, text)),
		"Data indication":             fromPeer(plain),
		"relay to relay":              fromClient(f, channelData(0x4001, text)),
		"relay to relay, Send":        fromClient(f, sendTo(target.local, text)),
		"of a client without a place": fromClient(&flow{client: q}, channelData(0x4000, text)),
		"unbound channel":             fromClient(f, channelData(0x4009, text)),
	} {
		if got := testing.AllocsPerRun(200, handle); got != 0 {
			t.Errorf("%s: got %v allocations for a batch, want 0", name, got)
		}
	}
}
