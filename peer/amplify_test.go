package peer

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// sink is a third party: sockets that candidates of an attacker's name.
type sink struct {
	conns   []net.PacketConn
	packets atomic.Int64
	bytes   atomic.Int64 // payload
	readers sync.WaitGroup
}

// newSink starts a third party that answers a packet with what reply makes of it.
func newSink(t *testing.T, reply func(packet []byte) []byte) *sink {
	t.Helper()
	s := &sink{}
	for range 16 {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.conns = append(s.conns, conn)
		s.readers.Go(func() { s.read(conn, reply) })
	}
	t.Cleanup(func() {
		for _, conn := range s.conns {
			conn.Close()
		}
		s.readers.Wait()
	})
	return s
}

func (s *sink) read(conn net.PacketConn, reply func([]byte) []byte) {
	buf := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		s.packets.Add(1)
		s.bytes.Add(int64(n))
		if answer := reply(buf[:n]); answer != nil {
			conn.WriteTo(answer, from)
		}
	}
}

func echo(packet []byte) []byte { return packet }
func stunServer(p []byte) []byte {
	m := &stun.Message{Raw: p}
	if m.Decode() != nil {
		return nil
	}
	answer, err := stun.Build(m, stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(127, 0, 0, 1), Port: 1}, stun.Fingerprint)
	if err != nil {
		return nil
	}
	return answer.Raw
}

// candidates returns n different candidates, all of the sink. Pion takes those of one
// address for different ones if their related addresses are.
func (s *sink) candidates(n int) (lines []string) {
	for i := range n {
		addr := s.conns[i%len(s.conns)].LocalAddr().(*net.UDPAddr)
		typ := "host"
		if i >= len(s.conns) {
			typ = fmt.Sprintf("srflx raddr 10.0.0.1 rport %d", i)
		}
		lines = append(lines, fmt.Sprintf("candidate:%d 1 udp %d 127.0.0.1 %d typ %s", i, 2122260223-i, addr.Port, typ))
	}
	return lines
}

// attacker is signed in with nothing but a WebSocket, and counts what it sends.
type attacker struct {
	t    *testing.T
	name string
	sock *socket
	sent int // bytes of JSON
}

func (s *fakeServer) attacker(name string) *attacker {
	sock := s.bareSocket(name)
	s.t.Cleanup(func() { sock.conn.Close() })
	return &attacker{s.t.(*testing.T), name, sock, 0}
}

func (a *attacker) send(m protocol.FromClient) {
	a.t.Helper()
	frame, err := protocol.EncodeClient("", m)
	if err == nil {
		a.sent += len(frame)
		err = a.sock.send("", m)
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

// until waits for a message of a type about a call.
func until[T protocol.Forwarded](a *attacker) (m T) {
	a.t.Helper()
	for {
		ev, err := a.sock.receive()
		if err != nil {
			a.t.Fatal(err)
		}
		if m, ok := ev.Message.(T); ok {
			return m
		}
	}
}

// description returns an SDP of a data call with candidates, and ICE credentials of
// its own.
func description(t *testing.T, kind string, ufrag string, candidates []string) protocol.Description {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.GracefulClose()
	if _, err := pc.CreateDataChannel(labelControl, nil); err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	sdp := offer.SDP
	if ufrag != "" {
		_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
		old, _, _ := strings.Cut(rest, "\r\n")
		sdp = strings.Replace(sdp, "a=ice-ufrag:"+old, "a=ice-ufrag:"+ufrag, 1)
	}
	if kind == "answer" {
		sdp = strings.Replace(sdp, "a=setup:actpass", "a=setup:active", 1)
	}
	for _, c := range candidates {
		sdp += "a=" + c + "\r\n"
	}
	return protocol.Description{Type: kind, SDP: sdp}
}

// check compares what the third party got, headers included, with what the attacker sent.
func (s *sink) check(t *testing.T, name string, sent int) {
	t.Helper()
	packets, bytes := int(s.packets.Load()), int(s.bytes.Load())
	total := bytes + 28*packets
	t.Logf("%s: %d bytes sent to the server, the third party got %d packets, %d bytes of payload (× %.2f), %d with headers (× %.2f)",
		name, sent, packets, bytes, float64(bytes)/float64(sent), total, float64(total)/float64(sent))
	if total > amplification*sent {
		t.Errorf("%s: amplification × %.1f, want at most × %d", name, float64(total)/float64(sent), amplification)
	}
}

// attack is what somebody does to make a peer flood a third party.
type attack struct {
	name     string
	reply    func(packet []byte) []byte // of the third party; nil is none
	target   []func(*Config)
	relay    func(*testing.T) protocol.ICEServer
	start    func(a *attacker, third *sink)
	calls    int  // that end; 0 is one
	unheard  bool // nothing may arrive
	unopened bool // nobody takes the call
}

// running is an attack in progress.
type running struct {
	attack
	third *sink
	from  *attacker
}

func offers(candidates int) func(*attacker, *sink) {
	return func(a *attacker, third *sink) {
		a.offer(protocol.NewCallID(), description(a.t, "offer", "", third.candidates(candidates)))
	}
}

// restarts offers again and again, with new ICE credentials or with the same.
func restarts(times int, ufrag string) func(*attacker, *sink) {
	return func(a *attacker, third *sink) {
		id := protocol.NewCallID()
		for range times {
			a.offer(id, description(a.t, "offer", ufrag, third.candidates(30)))
			until[protocol.Answer](a)
		}
	}
}

func trickles(a *attacker, third *sink) {
	id := protocol.NewCallID()
	a.offer(id, description(a.t, "offer", "", nil))
	a.trickle(id, third.candidates(protocol.MaxCallCandidate))
}

func answers(a *attacker, third *sink) {
	offer := until[protocol.Offer](a)
	a.send(protocol.Answer{Name: "bob", Call: offer.Call, Answer: description(a.t, "answer", "", third.candidates(100))})
}

// Whatever one side of a call names as its candidates, a third party gets at most three
// times what that side sent, for as long as the call may take.
func TestCandidatesDoNotFlood(t *testing.T) {
	t.Parallel()
	overTCP := func(t *testing.T) protocol.ICEServer {
		return relayEntry("turn:" + startStreamRelay(t, nil) + "?transport=tcp")
	}
	overUDP := func(t *testing.T) protocol.ICEServer { return startRelay(t) }
	several := func(a *attacker, third *sink) {
		for range maxUnanswered {
			offers(30)(a, third)
		}
	}
	var all []running
	for _, at := range []attack{
		{name: "1 candidate", start: offers(1)},
		{name: "10 candidates", start: offers(10)},
		{name: "100 candidates", start: offers(100)},
		{name: "256 candidates", start: offers(protocol.MaxCallCandidate)},
		{name: "256 trickled", start: trickles},
		{name: "a STUN server", start: offers(16), reply: stunServer},
		{name: "an echo", start: offers(16), reply: echo},
		{name: "long credentials", start: restarts(1, strings.Repeat("u", 256))},
		{name: "restarts", start: restarts(10, "")},
		{name: "renegotiations", start: restarts(10, "same")},
		{name: "several calls", start: several, calls: maxUnanswered},
		{name: "over a relay, UDP", start: offers(16), target: []func(*Config){relayOnly}, relay: overUDP},
		{name: "over a relay, TCP", start: offers(16), target: []func(*Config){relayOnly}, relay: overTCP},
		{name: "as callee", start: answers},
		{name: "before acceptance", start: offers(16), unopened: true, unheard: true},
	} {
		all = append(all, at.begin(t))
	}
	for _, r := range all {
		for range max(1, r.calls) {
			until[protocol.Leave](r.from) // in time, for nobody answers
		}
		r.third.check(t, r.name, r.from.sent)
		if silent := r.third.packets.Load() == 0; silent != r.unheard {
			t.Errorf("%s: the third party got nothing: %v, want %v", r.name, silent, r.unheard)
		}
	}
}

func (at attack) begin(t *testing.T) running {
	t.Helper()
	if at.reply == nil {
		at.reply = func([]byte) []byte { return nil }
	}
	s := newFakeServer(t)
	if at.relay != nil {
		s.ice = []protocol.ICEServer{at.relay(t)}
	}
	bob := s.join("bob", at.target...)
	r := running{at, newSink(t, at.reply), s.attacker("mallory")}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	if at.name == "as callee" {
		go bob.Call(ctx, "mallory")
	} else if !at.unopened {
		go bob.Accept(ctx)
	}
	at.start(r.from, r.third)
	return r
}

func (a *attacker) offer(id string, d protocol.Description) {
	a.t.Helper()
	a.send(protocol.Offer{Name: "bob", Call: id, Offer: d})
}

func (a *attacker) trickle(id string, candidates []string) {
	a.t.Helper()
	for len(candidates) > 0 {
		n := min(protocol.MaxCandidates, len(candidates))
		var batch []*protocol.CandidateInit
		for _, c := range candidates[:n] {
			batch = append(batch, &protocol.CandidateInit{Candidate: c})
		}
		a.send(protocol.Candidates{Name: "bob", Call: id, Candidates: batch})
		candidates = candidates[n:]
	}
}
