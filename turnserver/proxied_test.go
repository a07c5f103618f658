package turnserver

import (
	"fmt"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/sigctl/sigctl/pkg/listen"
)

// Behind a proxy a connection is one, even if another one says that it is of the same client: they have allocations of their
// own, and nothing of the other's.
func TestProxiedConnectionsAreApart(t *testing.T) {
	proxies, err := listen.NewProxies(&listen.ProxyOptions{Trusted: prefixes("127.0.0.1/32"), PROXY: true})
	if err != nil {
		t.Fatal(err)
	}
	ts := newTestServer(t, func(cfg *Config) { cfg.Proxies, cfg.Allow = proxies, allow(t, "127.0.0.2/32") })
	p := newPeer(t, "127.0.0.2")
	dial := func(user string) *testClient {
		c := ts.over(TCP, user)
		fmt.Fprint(c.conn, "PROXY TCP4 198.51.100.7 203.0.113.1 4000 3478\r\n")
		c.allocate()
		c.wantOK(stun.MethodChannelBind, c.bindChannel(0x4000, p.addr))
		return c
	}
	alice, mallory := dial("alice"), dial("mallory")
	for _, c := range []*testClient{mallory, alice} {
		c.exchange(p, c.name)
	}
	theirs := ts.allocations.at(mallory.relayed)
	mallory.conn.Close()
	select {
	case <-theirs.ended:
	case <-time.After(patience):
		t.Error("mallory's allocation outlives its connection")
	}
	alice.exchange(p, "still here")
	if got := ts.Stats().Allocations; got != 1 {
		t.Errorf("%d allocations live, want alice's", got)
	}
}
