package peer

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"
)

const ourPassword, theirPassword = "ours-ours-ours-ours-ours", "theirs-theirs-theirs-the"

var (
	third  = netip.MustParseAddrPort("192.0.2.1:5000")
	second = netip.MustParseAddrPort("[2001:db8::1]:5000")
)

func newGuard(bytes int) *guard {
	g := &guard{}
	g.described(theirPassword, bytes)
	g.describes(ourPassword)
	return g
}

// binding builds a Binding message, signed unless password is "".
func binding(t testing.TB, class stun.MessageClass, password string, setters ...stun.Setter) *stun.Message {
	t.Helper()
	all := append([]stun.Setter{stun.NewType(stun.MethodBinding, class)}, setters...)
	if class == stun.ClassRequest {
		all = append(all, stun.NewUsername("them:us"))
	}
	if password != "" {
		all = append(all, stun.NewShortTermIntegrity(password), stun.Fingerprint)
	}
	m, err := stun.Build(all...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func ourCheck(t testing.TB) *stun.Message {
	return binding(t, stun.ClassRequest, theirPassword, stun.TransactionID)
}

// sent counts the checks that leave within a minute, of one every 10 ms.
func sent(t *testing.T, g *guard, to netip.AddrPort, sockets ...any) (checks int) {
	for range 6000 {
		for _, socket := range sockets {
			if g.outgoing(socket, to, ourCheck(t).Raw) {
				checks++
			}
		}
		time.Sleep(10 * time.Millisecond) // of the bubble's clock
	}
	return checks
}

func TestGuardSpendsWhatWasPaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		size := len(ourCheck(t).Raw) + 28
		g := newGuard(size) // that is three checks
		g.expect(third, size)
		if n := sent(t, g, third, 1); n != 6 {
			t.Errorf("%d checks, want the candidate's 3 and the description's 3", n)
		}
		g.expect(third, size)
		if n := sent(t, g, second, 1); n != 0 {
			t.Errorf("%d checks to another address than the one that was paid for", n)
		}
		if n := sent(t, g, third, 1, 2); n != 3 {
			t.Errorf("%d checks from two sockets, want 3", n)
		}
	})
}

// However much was paid, a path is not checked more often than once a second for long.
func TestGuardSpreadsChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(1 << 20)
		if n := sent(t, g, third, 1); n < 50 || n > 70 {
			t.Errorf("%d checks in a minute, want about one a second", n)
		}
	})
}

// Only an answer that is signed, to a check that was sent to that address, opens it.
func TestGuardBelievesAnswers(t *testing.T) {
	g := newGuard(1 << 20)
	check := ourCheck(t)
	if !g.outgoing(1, third, check.Raw) {
		t.Fatal("the first check does not leave")
	}
	answer := func(id stun.Setter, password string) []byte {
		return binding(t, stun.ClassSuccessResponse, password, id).Raw
	}
	for name, try := range map[string]func(){
		"unsigned, as a STUN server's": func() { g.incoming(1, third, answer(check, "")) },
		"signed with our password":     func() { g.incoming(1, third, answer(check, ourPassword)) },
		"to no check of ours":          func() { g.incoming(1, third, answer(stun.TransactionID, theirPassword)) },
		"from elsewhere":               func() { g.incoming(1, second, answer(check, theirPassword)) },
		"at another socket":            func() { g.incoming(2, third, answer(check, theirPassword)) },
	} {
		if try(); g.remotes[third].answered {
			t.Errorf("an answer %s was believed", name)
		}
	}
	g.incoming(1, third, answer(check, theirPassword))
	g.credit = 0
	if !g.outgoing(1, third, ourCheck(t).Raw) || !g.outgoing(2, third, ourCheck(t).Raw) {
		t.Error("a check to an address that answered does not leave")
	}
	g.described("another-another-another-", 0)
	if g.outgoing(1, third, ourCheck(t).Raw) {
		t.Error("an address is still believed after a restart")
	}
}

// A check of the other side's pays for its answer, and for ours at once.
func TestGuardAnswersChecks(t *testing.T) {
	g := newGuard(0)
	if g.outgoing(1, third, ourCheck(t).Raw) {
		t.Fatal("a check leaves that nobody paid for")
	}
	g.incoming(1, third, binding(t, stun.ClassRequest, theirPassword, stun.TransactionID).Raw)
	if g.outgoing(1, third, ourCheck(t).Raw) {
		t.Error("a check that was signed with another password pays")
	}
	theirs := binding(t, stun.ClassRequest, ourPassword, stun.TransactionID)
	g.incoming(1, third, theirs.Raw)
	if !g.outgoing(1, third, binding(t, stun.ClassSuccessResponse, ourPassword, theirs).Raw) || !g.outgoing(1, third, ourCheck(t).Raw) {
		t.Error("a check is not answered, and not made up for")
	}
	g.incoming(1, third, theirs.Raw)
	if !g.outgoing(1, third, ourCheck(t).Raw) {
		t.Error("the next check of theirs does not bring forth one of ours at once")
	}
	// With the same password on both sides an echo would be signed right.
	g.described(ourPassword, 0)
	g.incoming(1, third, theirs.Raw)
	if g.outgoing(1, third, ourCheck(t).Raw) {
		t.Error("an echo pays")
	}
}

// Checks from ever more addresses are dropped before pion makes a candidate of each.
func TestGuardBoundsAddresses(t *testing.T) {
	g := newGuard(0)
	check := binding(t, stun.ClassRequest, ourPassword, stun.TransactionID).Raw
	passed := 0
	for port := range uint16(200) {
		if g.incoming(1, netip.AddrPortFrom(third.Addr(), 1000+port), check) {
			passed++
		}
	}
	if passed != maxRemotes {
		t.Errorf("checks from %d addresses passed, want %d", passed, maxRemotes)
	}
}

// What else there is passes: questions to STUN servers, DTLS, and messages to a relay.
func TestGuardLetsTheRestPass(t *testing.T) {
	g := newGuard(0)
	question := stun.MustBuild(stun.BindingRequest, stun.TransactionID)
	for name, packet := range map[string][]byte{"a question": question.Raw, "DTLS": {22, 254, 253, 0}, "nothing": nil} {
		if !g.outgoing(1, third, packet) || !g.incoming(1, third, packet) {
			t.Errorf("%s does not pass", name)
		}
	}
	r := &relayed{guard: g}
	allocate := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest))
	if !r.outgoing(allocate.Raw) || !r.incoming(allocate.Raw) {
		t.Error("an allocation does not pass")
	}
}

// relayFrames wraps a packet into the two forms in which it goes to a relay, after the
// message that the second needs.
func relayFrames(t testing.TB, packet []byte) (indication, bind, channel []byte) {
	t.Helper()
	peer := xorPeer{third}
	const number = 0x4001
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peer,
		stun.RawAttribute{Type: stun.AttrData, Value: packet})
	if err != nil {
		t.Fatal(err)
	}
	b, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodChannelBind, stun.ClassRequest), peer,
		stun.RawAttribute{Type: stun.AttrChannelNumber, Value: binary.BigEndian.AppendUint32(nil, number<<16)})
	if err != nil {
		t.Fatal(err)
	}
	channel = binary.BigEndian.AppendUint16(nil, number)
	channel = binary.BigEndian.AppendUint16(channel, uint16(len(packet)))
	return m.Raw, b.Raw, append(channel, packet...)
}

// xorPeer is an XOR-PEER-ADDRESS attribute.
type xorPeer struct{ addr netip.AddrPort }

func (x xorPeer) AddTo(m *stun.Message) error {
	a := stun.XORMappedAddress{IP: x.addr.Addr().AsSlice(), Port: int(x.addr.Port())}
	return a.AddToAs(m, stun.AttrXORPeerAddress)
}

func TestRelayedChecksAreGuarded(t *testing.T) {
	indication, bind, channel := relayFrames(t, ourCheck(t).Raw)
	for name, frame := range map[string][]byte{"an indication": indication, "a channel": channel} {
		g := newGuard(0)
		r := &relayed{guard: g}
		if !r.outgoing(bind) {
			t.Fatal("the channel is not bound")
		}
		if r.outgoing(frame) {
			t.Errorf("a check over %s leaves that nobody paid for", name)
		}
		g.expect(third, 100)
		if !r.outgoing(frame) {
			t.Errorf("a check over %s does not leave that was paid for", name)
		}
	}
	if r := (&relayed{guard: newGuard(0)}); r.outgoing(channel) {
		t.Error("a check over a channel that was never bound leaves")
	}
}

// What the guard refuses is skipped on a stream, and what follows it is read.
func TestFrameConnSkipsWhatIsRefused(t *testing.T) {
	refused, _, _ := relayFrames(t, binding(t, stun.ClassRequest, ourPassword, stun.TransactionID).Raw)
	g := newGuard(0)
	for port := range uint16(maxRemotes) {
		g.expect(netip.AddrPortFrom(second.Addr(), port), 0)
	}
	good := stunFrame(8)
	c := newFrameConn(&stubConn{Reader: bytes.NewReader(append(refused, good...))}, g)
	got, err := io.ReadAll(c)
	if !bytes.Equal(got, good) {
		t.Errorf("read %x, %v, want %x alone", got, err, good)
	}
}

// Whatever comes, the guard neither fails nor lets more leave than was paid for.
func FuzzGuard(f *testing.F) {
	check := ourCheck(f).Raw
	indication, bind, channel := relayFrames(f, check)
	for _, seed := range [][]byte{check, indication, bind, channel, binding(f, stun.ClassSuccessResponse, theirPassword, stun.TransactionID).Raw, {0x40, 0, 0xFF, 0xFF}} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, frame []byte, out bool) {
		g := newGuard(100)
		r := &relayed{guard: g}
		r.outgoing(bind)
		if out {
			r.outgoing(frame)
			g.outgoing(1, third, frame)
		} else {
			r.incoming(frame)
			g.incoming(1, third, frame)
		}
		if g.credit < 0 || g.credit > amplification*100 {
			t.Errorf("credit of %d", g.credit)
		}
		for _, remote := range g.remotes {
			if remote.answered || remote.credit < 0 {
				t.Errorf("%+v", remote)
			}
		}
	})
}
