package turnserver

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// Allocations come, change and go while packets pass in all directions; nothing is left of them.
func TestChurnDuringTraffic(t *testing.T) {
	p, q := newPlane(t, nil), newPeer(t, "127.0.0.2")
	steady := p.bound("alice", 0x4000, q.addr)
	steady.flows.permit(netip.MustParseAddr("127.0.0.1"))
	done := make(chan struct{})
	var traffic, churn sync.WaitGroup
	send := func(batch func()) {
		traffic.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					batch()
				}
			}
		})
	}
	send(func() { steady.up(channelData(0x4000, "up"), channelData(0x4001, "hop"), sendTo(q.addr, "up")) })
	send(func() { steady.down(q.addr, "down", "down") })
	send(func() { p.Stats() })
	for i := range 2 {
		churn.Go(func() {
			for range 50 {
				f := p.bound(fmt.Sprint("user ", i), 0x4000, q.addr)
				f.flows.bind(0x4001, steady.local)
				steady.flows.bind(0x4001, f.local)
				f.flows.permit(steady.local.Addr())
				f.down(q.addr, "x")
				q.send(f.local, "x")
				steady.flows.unbind(0x4001, f.local)
				f.end()
			}
		})
	}
	churn.Wait()
	close(done)
	traffic.Wait()
	steady.end()
	if open, users := p.allocations.count(); open != 0 || users != 0 || len(p.allocations.byClient) != 0 {
		t.Errorf("%d allocations of %d users and %d clients are left", open, users, len(p.allocations.byClient))
	}
}

// However an allocation ends, nothing of it is left: no flow, no place, no usage; the leak check sees goroutines and with
// them sockets.
func TestEndsLeaveNothing(t *testing.T) {
	ends := map[string]func(*testServer, *testClient, *allocation){
		"refresh to 0": func(_ *testServer, c *testClient, _ *allocation) {
			c.wantOK(stun.MethodRefresh, c.request(stun.MethodRefresh, lifetime(0)))
		},
		"lifetime": func(ts *testServer, _ *testClient, a *allocation) {
			if err := ts.control.refresh(a, time.Millisecond); err != nil {
				t.Errorf("refresh: %v", err)
			}
		},
		"kick":                func(ts *testServer, _ *testClient, _ *allocation) { ts.Kick("alice", time.Time{}) },
		"failed relay socket": func(_ *testServer, _ *testClient, a *allocation) { a.socket.Close() },
		"closed server":       func(ts *testServer, _ *testClient, _ *allocation) { ts.Close() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ts := newTestServer(t, func(cfg *Config) {
				cfg.Allow, cfg.RequestRate = allow(t, "127.0.0.2/32"), -1 // else the user is remembered for some milliseconds
			})
			c, p := ts.allocated("alice"), newPeer(t, "127.0.0.2")
			c.wantOK(stun.MethodChannelBind, c.bindChannel(0x4000, p.addr))
			c.sendChannel(0x4000, "hello")
			p.wantText(c.relayed, "hello")
			a := ts.allocations.at(c.relayed)
			end(ts, c, a)
			select {
			case <-a.ended:
			case <-time.After(patience):
				t.Fatal("the allocation did not end")
			}
			ts.Close() // waits for what is under way
			if a.expiry.Stop() {
				t.Error("the timer of its lifetime is left")
			}
			if f := a.flows.load(); f.permitted != nil || f.byNumber != nil || f.byPeer != nil {
				t.Errorf("flows are left: %+v", f)
			}
			r := ts.allocations
			if n := len(r.byRelay) + len(r.byClient) + len(r.byUser) + r.places; n != 0 {
				t.Errorf("%d entries of the registry are left", n)
			}
		})
	}
}
