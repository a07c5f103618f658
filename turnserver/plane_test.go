package turnserver

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"

	"github.com/sigctl/sigctl/pkg/udp"
)

// plane is a server that nobody serves: tests hand it batches themselves, and then see what became of them.
type plane struct {
	*Server
	t     testing.TB
	shard *shard
}

// newPlane allows peers at 127.0.0.2. change, which may be nil, changes the configuration.
func newPlane(t testing.TB, change func(*Config)) *plane {
	t.Helper()
	cfg := testConfig(t)
	cfg.Allow, cfg.Shards = allow(t, "127.0.0.2/32"), 1
	if change != nil {
		change(cfg)
	}
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	l := s.listeners[0]
	return &plane{s, t, &shard{socket: l.places[0].sockets[0], batch: newBatch(l)}}
}

// flow is an allocation with its client, which the library knows nothing of.
type flow struct {
	*allocation
	client *peer
	plane  *plane
	batch  *batch // of its peers' packets
}

func (p *plane) flow(user string) *flow {
	p.t.Helper()
	l, conn := p.listeners[0], newPeer(p.t, "127.0.0.1")
	a, _, err := p.open(&client{fiveTuple: fiveTuple{client: conn.addr, server: l.address, transport: UDP}, listener: l, shard: p.shard}, identity{user: user}, wanted{})
	if err != nil {
		p.t.Fatalf("open an allocation for %s: %v", user, err)
	}
	p.t.Cleanup(a.end) // else the library would
	return &flow{a, conn, p, newBatch(l)}
}

// bound is a flow with a permission for peer and a channel to it.
func (p *plane) bound(user string, number uint16, peer netip.AddrPort) *flow {
	p.t.Helper()
	f := p.flow(user)
	f.flows.permit(peer.Addr())
	f.flows.bind(number, peer)
	return f
}

// up hands over messages of the client, as one batch.
func (f *flow) up(messages ...string) {
	packets := make([]udp.Packet, len(messages))
	for i, message := range messages {
		packets[i] = udp.Packet{From: f.client.addr, Data: []byte(message)}
	}
	f.plane.shard.fromClients(packets)
}

// down hands over packets of a peer, as one batch.
func (f *flow) down(from netip.AddrPort, payloads ...string) {
	packets := make([]udp.Packet, len(payloads))
	for i, payload := range payloads {
		packets[i] = udp.Packet{From: from, Data: []byte(payload)}
	}
	f.fromPeers(f.batch, packets)
}

// wantText checks the next message that the client gets.
func (f *flow) wantText(text string) {
	f.plane.t.Helper()
	f.client.wantText(f.plane.listeners[0].address, text)
}

// wantData checks that the client's next message is a Data indication.
func (f *flow) wantData(from netip.AddrPort, text string) {
	f.plane.t.Helper()
	c := &testClient{t: f.plane.t, name: f.owner.user, conn: f.client}
	if got, want := c.parse(c.read()), (packet{from: from, text: text}); got != want {
		f.plane.t.Errorf("%s receives %+v, want %+v", f.owner.user, got, want)
	}
}

// wantDropped checks what was dropped since the start.
func (p *plane) wantDropped(want map[string]uint64) {
	p.t.Helper()
	if stats := p.Stats(); !maps.Equal(stats.Sum().Dropped, want) {
		p.t.Errorf("dropped: got %v, want %v", stats.Sum().Dropped, want)
	}
}

// channelData is a message with its header.
func channelData(number uint16, text string) string {
	head := binary.BigEndian.AppendUint16(nil, number)
	return string(binary.BigEndian.AppendUint16(head, uint16(len(text)))) + text
}

// sendTo is a Send indication.
func sendTo(peer netip.AddrPort, text string, more ...stun.Setter) string {
	setters := []stun.Setter{stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication)}
	setters = append(append(setters, more...), peerAddress(peer), stun.RawAttribute{Type: stun.AttrData, Value: []byte(text)})
	return string(stun.MustBuild(setters...).Raw)
}

// mapped is an IPv4 peer in IPv6 form.
type mapped netip.AddrPort

func (p mapped) AddTo(m *stun.Message) error {
	at := netip.AddrPort(p)
	at = netip.AddrPortFrom(netip.AddrFrom16(at.Addr().As16()), at.Port())
	m.Add(stun.AttrXORPeerAddress, appendAddress(m.Raw[:headerSize:headerSize], at)[headerSize+attributeHeader:])
	return nil
}

// noise is a payload that no other is like.
func noise(size int) string {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return string(b)
}
