package turnserver

import (
	"testing"
)

// Between relays of this server each end counts what it relays, for its own user and listener.
func TestRelayToRelayIsCountedAtBoth(t *testing.T) {
	p := newPlane(t, func(cfg *Config) { cfg.UserBandwidth, cfg.Listen = 1, append(cfg.Listen, "127.0.0.3:0") })
	a, b, c := p.flow("alice"), p.flow("bob"), p.flow("carol")
	for _, f := range []*flow{a, b, c} {
		f.flows.permit(a.local.Addr())
		f.flows.bind(0x4000, b.local)
	}
	a.up(channelData(0x4000, "more than enough"))
	b.wantData(a.local, "more than enough")
	c.up(channelData(0x4000, "bob has no more"))
	a.up(channelData(0x4000, "alice neither"))
	p.wantDropped(map[string]uint64{"bandwidth": 2})
	stats := p.Stats()
	if sum := stats.Sum(); sum.ToPeers != (Traffic{2, 31}) || sum.FromPeers != (Traffic{1, 16}) {
		t.Errorf("traffic: got %+v and %+v, want 2 packets of 31 bytes and 1 of 16", sum.ToPeers, sum.FromPeers)
	}
}

// A channel finds the relay of this server that its peer is, when it comes and when it goes.
func TestRelaysComeAndGo(t *testing.T) {
	p := newPlane(t, func(cfg *Config) { cfg.Allow, cfg.MinPort, cfg.MaxPort = nil, 50_000, 65_000 })
	a, b := p.flow("alice"), p.flow("bob")
	a.flows.permit(a.local.Addr())
	a.flows.bind(0x4000, a.local) // a hop to oneself works, too
	a.flows.bind(0x4001, b.local)
	b.flows.permit(a.local.Addr())
	a.up(channelData(0x4001, "one"), channelData(0x4000, "two"))
	b.wantData(a.local, "one")
	a.wantText(channelData(0x4000, "two"))
	b.end()
	a.up(channelData(0x4001, "x"))
	p.wantDropped(map[string]uint64{"policy": 1})

	wantFree(t, b.local)
	p.MinPort, p.MaxPort = b.local.Port(), b.local.Port()
	again := p.flow("bob")
	again.flows.permit(a.local.Addr())
	again.flows.bind(0x4000, a.local)
	p.MinPort, p.MaxPort = 50_000, 65_000
	a.up(channelData(0x4001, "three"))
	again.wantText(channelData(0x4000, "three"))
	again.flows.forbid(a.local.Addr())
	a.up(channelData(0x4001, "x"))
	p.wantDropped(map[string]uint64{"policy": 1, "no_permission": 1})
}
