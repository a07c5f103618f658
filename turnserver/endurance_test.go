package turnserver

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// overAll are all transports.
var overAll = [...]Transport{UDP, TCP, TLS, DTLS}

// A client that ends its allocation and asks for another one at once keeps that: what is left of the old one does not take
// it along. Each Refresh that ends an allocation is the proof that it lived.
func TestRefreshToZeroAndAllocate(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, func(cfg *Config) { cfg.RequestRate = -1 })
	c := ts.allocated("alice")
	for range renewals {
		c.wantOK(stun.MethodRefresh, c.request(stun.MethodRefresh, lifetime(0)))
		c.allocate()
	}
	c.wantOK(stun.MethodRefresh, c.request(stun.MethodRefresh, lifetime(600)))
	if got := ts.Stats(); got.Allocations != 1 || got.AllocationsCreated != 1+renewals {
		t.Errorf("%d allocations of %d live, want 1 of %d", got.Allocations, got.AllocationsCreated, 1+renewals)
	}
}

// A call goes on for a day with the credential that was good for its first ten minutes, over every transport.
func TestCallOutlivesCredential(t *testing.T) {
	ts := newTestServer(t, withTLS(t, func(cfg *Config) { everywhere(cfg); cfg.Allow = allow(t, "127.0.0.2/32") }))
	p := newPeer(t, "127.0.0.2")
	var calls []*testClient
	for _, transport := range overAll {
		c := ts.over(transport, "alice")
		c.wantOK(stun.MethodAllocate, c.request(stun.MethodAllocate, requestedUDP, lifetime(3600)))
		calls = append(calls, c)
	}
	const refreshed = 30 * time.Minute
	for since := refreshed; since < DefaultMaxLifetime; since += refreshed {
		ts.clock.advance(refreshed)
		for _, c := range calls {
			c.wantOK(stun.MethodRefresh, c.request(stun.MethodRefresh, lifetime(3600)))
			c.wantOK(stun.MethodChannelBind, c.bindChannel(0x4000, p.addr))
			c.exchange(p, fmt.Sprint("after ", since))
		}
	}
	ts.clock.advance(refreshed)
	for _, c := range calls {
		if code := errorCode(c.request(stun.MethodRefresh, lifetime(3600))); code != 437 {
			t.Errorf("%v: Refresh after %v: got %d, want 437", c.transport, DefaultMaxLifetime, code)
		}
	}
	again := ts.client("alice")
	again.username, again.password = calls[0].username, calls[0].password
	if code := errorCode(again.request(stun.MethodAllocate, requestedUDP)); code != 401 {
		t.Errorf("a new allocation with the credential of yesterday: got %d, want 401", code)
	}
}

// exchange sends a text up and down channel 0x4000, which is bound to p.
func (c *testClient) exchange(p *peer, text string) {
	c.t.Helper()
	c.sendChannel(0x4000, text)
	p.wantText(c.relayed, text)
	p.send(c.relayed, text)
	c.wantText(packet{channel: 0x4000, text: text})
}

// calling returns a client over a transport that has exchanged something with p.
func (ts *testServer) calling(transport Transport, user string, p *peer) *testClient {
	ts.t.Helper()
	c := ts.over(transport, user)
	c.allocate()
	c.wantOK(stun.MethodChannelBind, c.bindChannel(0x4000, p.addr))
	c.exchange(p, "hello")
	return c
}

// A kick ends a call before it returns, but for the socket, and nobody else's. The client is told at its next request.
func TestKickEndsCall(t *testing.T) {
	ts := newTestServer(t, withTLS(t, func(cfg *Config) { everywhere(cfg); cfg.Allow = allow(t, "127.0.0.2/32") }))
	p := newPeer(t, "127.0.0.2")
	for _, transport := range overAll {
		user := "mallory over " + transport.String() // a kick lasts
		mallory, bob := ts.calling(transport, user, p), ts.calling(transport, "bob", p)
		for _, c := range []*testClient{mallory, bob} { // what they sent before is counted when that is answered
			c.wantOK(stun.MethodRefresh, c.request(stun.MethodRefresh, lifetime(600)))
		}
		a := ts.allocations.at(mallory.relayed)
		relayed := ts.total()
		began := time.Now()
		if n := ts.Kick(user, ts.clock.now().Add(time.Hour)); n != 1 {
			t.Errorf("%v: Kick ended %d allocations, want 1", transport, n)
		}
		wantFree(t, a.local)
		t.Logf("%v: the call was over after %v", transport, time.Since(began))
		mallory.sendChannel(0x4000, "too late")
		if code := errorCode(mallory.request(stun.MethodRefresh, lifetime(600))); code != 401 {
			t.Errorf("%v: Refresh after the kick: got %d, want 401", transport, code)
		}
		if got := ts.total(); got.ToPeers != relayed.ToPeers || got.Dropped["no_allocation"] != relayed.Dropped["no_allocation"]+1 {
			t.Errorf("%v: relayed %+v after the kick, %v dropped, want %+v and one more than %v", transport,
				got.ToPeers, got.Dropped, relayed.ToPeers, relayed.Dropped)
		}
		bob.exchange(p, "still here")
	}
}

// wantFree waits until nobody has a UDP address: the reader of a relayed one closes it when it wakes.
func wantFree(t *testing.T, at netip.AddrPort) {
	t.Helper()
	until(t, fmt.Sprint(at, " is free"), func() bool {
		socket, err := occupy(at)
		if err == nil {
			socket.Close()
		}
		return err == nil
	})
}

// A server that drains relays for those it has until the last has ended, and sends others elsewhere: those that can ask
// there over the same transport.
func TestDrainLetsCallsEnd(t *testing.T) {
	ts := newTestServer(t, withTLS(t, func(cfg *Config) { everywhere(cfg); cfg.Allow = allow(t, "127.0.0.2/32") }))
	p := newPeer(t, "127.0.0.2")
	var calls []*testClient
	for _, transport := range overAll {
		calls = append(calls, ts.calling(transport, "alice", p))
	}
	alternate := netip.MustParseAddrPort("127.0.0.9:3478")
	drained := make(chan error, 1)
	go func() { drained <- ts.Drain(t.Context(), alternate) }()
	until(t, "it drains", func() bool { return ts.guard.alternate.Load() != nil })
	for i, c := range calls {
		newcomer := ts.over(c.transport, "bob")
		answer := newcomer.request(stun.MethodAllocate, requestedUDP)
		var to stun.AlternateServer
		err := to.GetFrom(answer)
		switch code := errorCode(answer); {
		case c.transport == TLS || c.transport == DTLS:
			if code != 486 || err == nil {
				t.Errorf("%v: a newcomer gets %d and is sent to %v, want 486 alone", c.transport, code, &to)
			}
		case err != nil || code != 300 || to.Port != int(alternate.Port()) || to.IP.String() != alternate.Addr().String():
			t.Errorf("%v: a newcomer gets %d and is sent to %v (%v), want 300 and %v", c.transport, code, &to, err, alternate)
		}
		for _, alive := range calls[i:] {
			alive.exchange(p, "still here")
		}
		select {
		case err := <-drained:
			t.Fatalf("Drain returned %v with %d calls open", err, len(calls)-i)
		default:
		}
		c.wantOK(stun.MethodRefresh, c.request(stun.MethodRefresh, lifetime(0)))
	}
	select {
	case err := <-drained:
		if err != nil {
			t.Errorf("drain: %v", err)
		}
	case <-time.After(patience):
		t.Error("Drain does not return after the last call has ended")
	}
	go func() { drained <- ts.Drain(t.Context(), netip.AddrPort{}) }()
	<-drained
	if code := errorCode(ts.client("bob").request(stun.MethodAllocate, requestedUDP)); code != 300 {
		t.Errorf("Allocate at a server that drains on, and was not told another one: got %d, want 300", code)
	}
}

// Close ends a server in the midst of traffic in all directions. (That nothing is left is for TestMain.)
func TestCloseUnderTraffic(t *testing.T) {
	ts := newTestServer(t, withTLS(t, func(cfg *Config) { everywhere(cfg); cfg.Allow = allow(t, "127.0.0.2/32") }))
	p := newPeer(t, "127.0.0.2")
	neighbour := ts.calling(UDP, "neighbour", p)
	var calls []*testClient
	for _, transport := range overAll {
		c := ts.calling(transport, "alice", p)
		c.wantOK(stun.MethodChannelBind, c.bindChannel(0x4001, neighbour.relayed))
		calls = append(calls, c)
	}
	done := make(chan struct{})
	var traffic sync.WaitGroup
	pump := func(once func() error) {
		traffic.Go(func() {
			for once() == nil {
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for _, c := range calls {
		up, hop, buffer := []byte(channelData(0x4000, "up!!")), []byte(channelData(0x4001, "hop!")), make([]byte, 1<<16)
		pump(func() error { _, err := c.conn.Write(up); return err }) // until the server has closed the connection
		pump(func() error { _, err := c.conn.Write(hop); return err })
		pump(func() error { _, err := p.WriteToUDPAddrPort([]byte("down"), c.relayed); return err })
		pump(func() error {
			c.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) // to look at done
			if _, err := c.conn.Read(buffer); !errors.Is(err, os.ErrDeadlineExceeded) {
				return err
			}
			return nil
		})
	}
	before := ts.total()
	until(t, "packets pass both ways", func() bool {
		now := ts.total()
		return now.ToPeers.Packets > before.ToPeers.Packets+1000 && now.FromPeers.Packets > before.FromPeers.Packets+1000
	})
	closed, began := make(chan struct{}), time.Now()
	go func() { ts.Close(); close(closed) }()
	select {
	case <-closed:
		t.Logf("Close took %v", time.Since(began))
	case <-time.After(patience):
		t.Error("Close does not return")
	}
	close(done)
	traffic.Wait()
	if got := ts.Stats(); got.Allocations != 0 || got.Users != 0 || got.Sum().Connections != 0 {
		t.Errorf("left: %+v", got)
	}
}
