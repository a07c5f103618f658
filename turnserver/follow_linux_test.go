package turnserver

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pion/stun/v3"
)

// wantServed waits until UDP is served at those addresses.
func (ts *testServer) wantServed(want ...string) {
	ts.t.Helper()
	until(ts.t, fmt.Sprintf("UDP is served at %v", want), func() bool {
		var got []string
		for _, at := range ts.Addrs(UDP) {
			got = append(got, at.Addr().String())
		}
		return slices.Equal(got, want)
	})
}

const (
	early = "127.0.0.1/8"
	late  = early + " 127.0.0.9/8 " + lateHost + "/24"

	lateHost = "9.9.9.9" // a public address, which no test machine has
)

// An address that this machine gets while the relay runs is this machine's at once, whatever
// permission there is for it, and so are the network's broadcast addresses. It is a peer again when
// the machine has lost it.
func TestLateAddressIsProtected(t *testing.T) {
	addresses := newFakeAddresses(early)
	ts := newTestServer(t, func(cfg *Config) { cfg.Addresses = addresses })
	adopt := func(text string) {
		version := ts.policy.Load().version
		addresses.set(text)
		until(t, "the policy adopts "+text, func() bool { return ts.policy.Load().version != version })
	}
	service := netip.AddrPortFrom(netip.MustParseAddr(lateHost), 53)
	c := ts.allocated("alice")
	c.wantOK(stun.MethodCreatePermission, c.permit(service))
	c.wantOK(stun.MethodChannelBind, c.bindChannel(0x4000, service))
	adopt(late)
	before := ts.total().Dropped[dropPolicy.String()]
	c.send(service, "in an indication")
	c.sendChannel(0x4000, "in a channel")
	for _, ip := range []string{lateHost, "9.9.9.255", "9.9.9.0"} {
		if got := errorCode(c.permit(netip.AddrPortFrom(netip.MustParseAddr(ip), 53))); got != 403 {
			t.Errorf("permission for %s: got %d, want 403", ip, got)
		}
	}
	if got := ts.total().Dropped[dropPolicy.String()] - before; got != 2 {
		t.Errorf("%d packets to the late address were dropped, want 2", got)
	}
	adopt(early)
	c.wantOK(stun.MethodCreatePermission, c.permit(service))
}

// A wildcard serves and relays at an address that comes late. When the address is gone for a moment
// nothing ends; when it is gone for longer its sockets and allocations do.
func TestLateAddressIsServed(t *testing.T) {
	var log syncBuffer
	addresses := newFakeAddresses(early)
	ts := newTestServer(t, withTLS(t, func(cfg *Config) {
		cfg.Addresses, cfg.Logger = addresses, debugLogger(&log)
		cfg.Listen, cfg.DTLSListen = []string{"0.0.0.0:0"}, []string{"0.0.0.0:0"}
		cfg.Allow = allow(t, "127.0.0.2/32")
	}))
	p := newPeer(t, "127.0.0.2")
	addresses.set(late)
	ts.wantServed("127.0.0.1", "127.0.0.9")
	at := ts.Addrs(UDP)[1]
	if dtls := ts.Addrs(DTLS); len(dtls) != 2 || dtls[1].Addr() != at.Addr() {
		t.Errorf("DTLS is served at %v, want %v, too", dtls, at.Addr())
	}
	c := ts.clientAt("alice", at) // connected: it receives answers from at alone
	c.allocate()
	if c.relayed.Addr() != at.Addr() {
		t.Errorf("a client of %v is relayed at %v", at, c.relayed)
	}
	c.wantOK(stun.MethodCreatePermission, c.permit(p.addr))
	exchange := func() {
		t.Helper()
		c.send(p.addr, "ping")
		p.wantText(c.relayed, "ping")
		p.send(c.relayed, "pong")
		c.wantText(packet{from: p.addr, text: "pong"})
	}
	exchange()

	addresses.set(early)
	ts.wantServed("127.0.0.1")
	exchange()
	addresses.set(late)
	ts.wantServed("127.0.0.1", "127.0.0.9")
	exchange()

	addresses.set(early)
	ts.wantServed("127.0.0.1")
	ts.clock.advance(goneAfter)
	ts.adoptAddresses()
	if open := ts.Stats().Allocations; open != 0 {
		t.Errorf("%d allocations are open, want none", open)
	}
	wantFree(t, at)
	if got := strings.Count(log.String(), `level=WARN`); got != 2 { // UDP and DTLS
		t.Errorf("the log has %d warnings, want 2 about %s:\n%s", got, lateHost, log.String())
	}
}

// syncBuffer is a buffer for a log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
