package turnserver

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pion/stun/v3"
)

// A server that ends answers nobody, and what it has just opened ends with it.
func TestAllocateAtTheEnd(t *testing.T) {
	ts := newIdleServer(t, nil)
	c := learned(ts, "127.0.1.1:1", false)
	ts.control.close()
	if response := c.askSigned(stun.MethodAllocate, requestedUDP); response != nil {
		t.Errorf("got %v, want no answer", response)
	}
	if open, _ := ts.allocations.count(); open != 0 {
		t.Errorf("%d allocations are left", open)
	}
}

// Who allocates as fast as they can fills no disk with lines of it. Others' are there still, and the callback gets all.
func TestAllocationsInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		told := 0
		p := newPlane(t, func(cfg *Config) {
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			cfg.Allocated = func(string, netip.AddrPort, netip.AddrPort) { told++ }
		})
		mallory, alice := p.flow("mallory"), p.flow("alice")
		for range 5000 {
			p.guard.opened(mallory.allocation)
		}
		p.guard.opened(alice.allocation)
		for user, want := range map[string]int{"mallory": 100, "alice": 1} {
			if got := strings.Count(log.String(), "msg=allocation user="+user+" "); got != want {
				t.Errorf("%d lines of %s at level Info, want %d", got, user, want)
			}
		}
		if told != 5001 {
			t.Errorf("%d allocations told, want 5001", told)
		}
	})
}

// An Allocate request that comes again gets the answer again, and opens nothing. The answer has what was asked for.
func TestAllocateAgain(t *testing.T) {
	ts := newIdleServer(t, nil)
	c := learned(ts, "127.0.1.1:1", false)
	m := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), requestedUDP,
		raw(stun.AttrEvenPort, 0x80)}, append(c.credentials(), stun.Fingerprint)...)...)
	first, second := c.askFor(m), c.askFor(m)
	if err := wantCode(first, 0); err != nil || second == nil || !bytes.Equal(first.Raw, second.Raw) {
		t.Fatalf("got %v, and then %v: %v", first, second, err)
	}
	if stun.Fingerprint.Check(first) != nil || stun.NewLongTermIntegrity(c.username, c.realm, c.password).Check(first) != nil {
		t.Errorf("fingerprint or integrity of %v are wrong", first)
	}
	for _, want := range []stun.AttrType{stun.AttrXORRelayedAddress, stun.AttrXORMappedAddress, stun.AttrLifetime, stun.AttrReservationToken} {
		if !first.Contains(want) {
			t.Errorf("got %v, want %v in it", first, want)
		}
	}
	if got := ts.Stats(); got.AllocationsCreated != 1 || got.Reservations != 1 {
		t.Errorf("got %d allocations and %d reservations, want one of each", got.AllocationsCreated, got.Reservations)
	}
	bob := ts.at("127.0.1.1:1", "bob") // cannot be told what is alice's
	bob.nonce = c.nonce
	again := stun.MustBuild(append([]stun.Setter{m, stun.NewType(stun.MethodAllocate, stun.ClassRequest), requestedUDP}, bob.credentials()...)...)
	if err := wantCode(bob.askFor(again), 437); err != nil {
		t.Errorf("another user with that transaction id: %v", err)
	}
}

func TestAdditionalFamily(t *testing.T) {
	c := learned(newIdleServer(t, nil), "127.0.1.1:1", false)
	response := c.askSigned(stun.MethodAllocate, requestedUDP, raw(attrAdditionalAddressFamily, 2, 0, 0, 0))
	got, _ := response.Get(attrAddressErrorCode)
	if err := wantCode(response, 0); err != nil || len(got) < 4 || !bytes.Equal(got[:4], []byte{2, 0, 4, 40}) {
		t.Errorf("got %v, address error %x: %v, want a relay and 440 for IPv6", response, got, err)
	}
}

// A server that drains sends clients elsewhere, and keeps those that it has.
func TestDrainRefuses(t *testing.T) {
	for _, tt := range []struct {
		alternate string
		want      int
	}{{"192.0.2.1:3478", 300}, {"[2001:db8::1]:3478", 486}, {"", 486}} {
		ts := newIdleServer(t, nil)
		old, fresh := learned(ts, "127.0.1.1:1", true), learned(ts, "127.0.1.1:2", false)
		var alternate netip.AddrPort
		if tt.alternate != "" {
			alternate = netip.MustParseAddrPort(tt.alternate)
		}
		drained := make(chan error, 1)
		ts.guard.alternate.Store(&alternate) // as Drain does first
		go func() { drained <- ts.Drain(t.Context(), alternate) }()
		response := fresh.askSigned(stun.MethodAllocate, requestedUDP)
		if err := wantCode(response, tt.want); err != nil {
			t.Errorf("alternate %q: %v", tt.alternate, err)
		}
		var server stun.AlternateServer
		if err := server.GetFrom(response); (err == nil) != (tt.want == 300) || err == nil && netip.AddrPortFrom(addrOf(server.IP), uint16(server.Port)) != alternate {
			t.Errorf("alternate %q: got %v, %v", tt.alternate, server, err)
		}
		if err := wantCode(fresh.ask(stun.MethodAllocate, requestedUDP), 401); err != nil {
			t.Errorf("alternate %q for strangers: %v", tt.alternate, err)
		}
		for _, seconds := range []uint32{3600, 600, 0} { // who vanishes is not waited for
			if err := wantLifetime(old.askSigned(stun.MethodRefresh, lifetime(seconds)), min(seconds, 600)); err != nil {
				t.Errorf("alternate %q, Refresh(%d): %v", tt.alternate, seconds, err)
			}
		}
		if err := <-drained; err != nil {
			t.Errorf("drain: %v", err)
		}
	}
}

// Who is kicked while the allocation is opened is refused like a stranger; the answers say why others are.
func TestOpenErrors(t *testing.T) {
	ts := newIdleServer(t, nil)
	for _, tt := range []struct {
		err  error
		want stun.ErrorCode
	}{
		{errKicked, 401}, {errUserQuota, 486}, {errFull, 508}, {errNoPort, 508}, {errNoToken, 508}, {errFamily, 440}, {errDraining, 486},
		{fmt.Errorf("wrapped: %w", errNoPort), 508},
	} {
		r := &request{client: ts.at("127.0.1.1:1", "alice").conn.(*guardConn).client}
		if got, ok := ts.guard.refused(r, tt.err).(*refusal); !ok || got.code != tt.want {
			t.Errorf("%v: got %v, want %d", tt.err, got, tt.want)
		}
	}
}
