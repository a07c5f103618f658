package turnserver

import (
	"testing"

	"github.com/pion/stun/v3"

	"github.com/sigctl/sigctl/pkg/udp"
)

// farewell is a Send indication and then the Refresh that ends the allocation.
func (c *testClient) farewell(p *peer) []string {
	refresh := append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassRequest), lifetime(0)}, c.credentials()...)
	return []string{sendTo(p.addr, "bye!"), string(stun.MustBuild(refresh...).Raw)}
}

// What came before the end of an allocation is sent, in one batch with it, too.
func TestLastWords(t *testing.T) {
	p, q := newPlane(t, nil), newPeer(t, "127.0.0.2")
	ts := &testServer{Server: p.Server, t: t, secrets: p.Secrets, clock: &clock{t: p.auth.now()}}
	f := &flow{client: newPeer(t, "127.0.0.1"), plane: p}
	c := learned(ts, f.client.addr.String(), true)
	relayed := ts.only().public
	if err := wantCode(c.askSigned(stun.MethodCreatePermission, peerAddress(q.addr)), 0); err != nil {
		t.Fatal(err)
	}
	f.up(c.farewell(q)...)
	p.answerWaiting(udp.NewQueue(), nil)
	if got := p.Stats().Allocations; got != 0 {
		t.Errorf("%d allocations live, want none", got)
	}
	if p.wantDropped(nil); !t.Failed() {
		q.wantText(relayed, "bye!")
	}
}

func TestLastWordsOverTCP(t *testing.T) {
	ts := newTestServer(t, func(cfg *Config) { cfg.Allow = allow(t, "127.0.0.2/32") })
	p, c := newPeer(t, "127.0.0.2"), ts.over(TCP, "alice")
	c.allocate()
	c.wantOK(stun.MethodCreatePermission, c.permit(p.addr))
	words := c.farewell(p)
	c.write([]byte(words[0] + words[1]))
	c.read() // the answer to Refresh
	if got := ts.total().Dropped; len(got) != 0 {
		t.Fatalf("dropped: %v", got)
	}
	p.wantText(c.relayed, "bye!")
}
