package turnserver

import (
	"testing"

	"github.com/pion/stun/v3"
)

// What a client's requests cost, the library's part included.
func BenchmarkRequest(b *testing.B) {
	ts := newIdleServer(b, func(cfg *Config) { cfg.RequestRate = -1 })
	c := learned(ts, "127.0.1.1:1", true)
	for _, bb := range []struct {
		method stun.Method
		with   []stun.Setter
	}{
		{stun.MethodRefresh, nil},
		{stun.MethodCreatePermission, []stun.Setter{peerAt("8.8.8.8:1")}},
		{stun.MethodChannelBind, []stun.Setter{channelNumber(0x4000), peerAt("8.8.8.8:1")}},
	} {
		g := c.conn.(*guardConn)
		m := stun.MustBuild(append(append([]stun.Setter{stun.TransactionID, stun.NewType(bb.method, stun.ClassRequest)}, bb.with...), c.credentials()...)...)
		b.Run(bb.method.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if g.guard.handle(g.client, m.Raw)[0] != 1 {
					b.Fatal("refused")
				}
			}
		})
	}
}
