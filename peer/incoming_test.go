package peer

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// ringer offers calls and never connects them.
type ringer struct {
	t      *testing.T
	name   string
	socket *socket
	sdp    string
	came   []any // messages from bob
}

func (s *fakeServer) ringer(t *testing.T, name string) *ringer {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.GracefulClose()
	_, err = pc.CreateDataChannel(labelControl, nil)
	if err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &ringer{t: t, name: name, socket: s.bareSocket(name), sdp: offer.SDP}
	t.Cleanup(func() { r.socket.conn.Close() })
	return r
}

// ring offers bob a call and returns its id.
func (r *ringer) ring() (id string) {
	r.t.Helper()
	id = protocol.NewCallID()
	offer := protocol.Offer{Name: "bob", Call: id, Offer: protocol.Description{Type: "offer", SDP: r.sdp}}
	if err := r.socket.send("", offer); err != nil {
		r.t.Fatal(err)
	}
	return id
}

// wantAnswer waits until bob has answered a call.
func (r *ringer) wantAnswer(id string) {
	r.t.Helper()
	r.wait(func(m any) bool {
		answer, ok := m.(protocol.Answer)
		return ok && answer.Call == id
	})
}

// wantLeave waits until bob gives a call up because he is busy.
func (r *ringer) wantLeave(id string) {
	r.t.Helper()
	r.wait(func(m any) bool {
		leave, ok := m.(protocol.Leave)
		return ok && leave.Call == id && leave.Reason == protocol.ReasonBusy
	})
}

// wait reads until a message matches; it may have come before.
func (r *ringer) wait(match func(any) bool) {
	r.t.Helper()
	for !slices.ContainsFunc(r.came, match) {
		ev, err := r.socket.receive()
		if err != nil {
			r.t.Fatal(err)
		}
		r.came = append(r.came, ev.Message)
	}
}

// one lets a client have one call at a time.
func one(c *Config) { c.MaxCalls = 1 }

// A call that never connects keeps nobody else from calling.
func TestUnconnectedCallIsNotBusy(t *testing.T) {
	s := newFakeServer(t)
	bob, carol := s.join("bob", one), s.join("carol")
	mallory := s.ringer(t, "mallory")
	accept(t, bob, func() {
		mallory.wantAnswer(mallory.ring())
		if _, err := carol.Call(testContext(t), "bob"); err != nil {
			t.Error(err)
		}
	})
}

// accept has a client wait for a call while ring is run, and returns the call.
func accept(t *testing.T, c *Client, ring func()) *Call {
	t.Helper()
	result := make(chan *Call, 1)
	go func() {
		call, err := c.Accept(testContext(t))
		if err != nil {
			t.Error(err)
		}
		result <- call
	}()
	ring()
	call := <-result
	if call == nil {
		t.FailNow()
	}
	return call
}

// A caller has one call that has not connected: the latest.
func TestOneUnconnectedCallPerCaller(t *testing.T) {
	s := newFakeServer(t)
	bob, carol := s.join("bob", one), s.join("carol")
	mallory := s.ringer(t, "mallory")
	accept(t, bob, func() {
		first := mallory.ring()
		mallory.wantAnswer(first)
		second := mallory.ring()
		mallory.wantLeave(first)
		mallory.wantAnswer(second)
		if _, err := carol.Call(testContext(t), "bob"); err != nil {
			t.Error(err)
		}
	})
}

// Once there is no room for more calls that have not connected, the one goes that has
// had the longest time to.
func TestOldestUnconnectedCallGivesWay(t *testing.T) {
	s := newFakeServer(t)
	bob, carol := s.join("bob", one), s.join("carol")
	var ringers []*ringer
	var calls []*Call // bob's
	var first string
	accept(t, bob, func() {
		for n := range maxUnanswered {
			r := s.ringer(t, fmt.Sprint("mallory", n))
			id := r.ring()
			r.wantAnswer(id)
			ringers = append(ringers, r)
			calls = append(calls, bob.findCall(r.name, id))
			if n == 0 {
				first = id
			}
		}
		if _, err := carol.Call(testContext(t), "bob"); err != nil {
			t.Error(err)
		}
		ringers[0].wantLeave(first)
		for _, call := range calls[1:] {
			if errors.Is(call.Err(), ErrBusy) {
				t.Errorf("the call of %s gave way, too", call.Peer())
			}
		}
	})
}

// Of two callers the first to connect has the place, and the other one never takes its
// call for a connected one.
func TestSecondToConnectIsBusy(t *testing.T) {
	s := newFakeServer(t)
	answered := make(chan protocol.Forwarded, 1)
	s.tamper = func(from, to string, m protocol.Forwarded) protocol.Forwarded {
		if _, ok := m.(protocol.Answer); ok && to == "carol" {
			answered <- m
			return nil
		}
		return m
	}
	bob, alice, carol := s.join("bob", one), s.join("alice"), s.join("carol")
	var toCarol protocol.Forwarded
	busy := make(chan error, 1)
	talking := accept(t, bob, func() {
		go func() {
			_, err := carol.Call(testContext(t), "bob")
			busy <- err
		}()
		toCarol = <-answered
		if _, err := alice.Call(testContext(t), "bob"); err != nil {
			t.Error(err)
		}
	})
	s.conn("carol").send("", toCarol.From("bob", nil))
	if err := <-busy; !errors.Is(err, ErrBusy) {
		t.Errorf("carol's call: %v, want %v", err, ErrBusy)
	}
	if talking.Peer() != "alice" || talking.Err() != nil {
		t.Errorf("bob talks to %s, %v", talking.Peer(), talking.Err())
	}
}

// Whoever makes calls that never connect has to slow down, and costs little then.
func TestCallerThatNeverConnectsSlowsDown(t *testing.T) {
	const offers = 200
	s := newFakeServer(t)
	var mu sync.Mutex
	answers, refusals := 0, 0
	s.tamper = func(from, to string, m protocol.Forwarded) protocol.Forwarded {
		mu.Lock()
		defer mu.Unlock()
		switch m.(type) {
		case protocol.Answer:
			answers++
		case protocol.Reject:
			refusals++
		}
		return m
	}
	bob, carol := s.join("bob", one), s.join("carol")
	mallory := s.ringer(t, "mallory")
	begin := time.Now()
	accept(t, bob, func() {
		for range offers {
			id := mallory.ring()
			mallory.socket.send("", protocol.Candidates{Name: "bob", Call: id, Candidates: []*protocol.CandidateInit{
				{Candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host"},
			}})
		}
		last := protocol.NewCallID() // behind all of them
		mallory.socket.send("", protocol.Offer{Name: "carol", Call: last, Offer: protocol.Description{Type: "offer", SDP: mallory.sdp}})
		carol.waitIncoming(t, 1)
		if _, err := carol.Call(testContext(t), "bob"); err != nil {
			t.Error(err)
		}
	})
	took := time.Since(begin).Seconds()
	mu.Lock()
	defer mu.Unlock()
	if most := 1 + float64(retryRate.Burst) + took*retryRate.PerSecond; float64(answers) > most+1 { // and carol's
		t.Errorf("%d of %d offers were answered in %.1f s, want at most %.1f", answers, offers, took, most)
	}
	if most := float64(refusalRate.Burst) + took*refusalRate.PerSecond; float64(refusals) > most {
		t.Errorf("%d of %d offers were refused aloud in %.1f s, want at most %.1f", refusals, offers, took, most)
	}
}
