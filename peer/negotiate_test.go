package peer

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// An offer under the id of an established call renegotiates it; the callee asks
// the caller for one.
func TestRenegotiate(t *testing.T) {
	s := newFakeServer(t)
	answers := make(chan protocol.Answer, 4)
	s.tamper = func(_, _ string, m protocol.Forwarded) protocol.Forwarded {
		if m, ok := m.(protocol.Answer); ok {
			answers <- m
		}
		return m
	}
	a, b := connect(t, s.join("alice"), s.join("bob"))
	<-answers
	if err := b.send(protocol.Renegotiate{Name: "alice", Call: b.ID()}); err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-answers:
		if m.Call != a.ID() {
			t.Errorf("answer under %q, want %q", m.Call, a.ID())
		}
	case <-testContext(t).Done():
		t.Fatal("no second answer")
	}
	wantChat(t, a, b)
}

// The candidates of both ends are batched, and none is sent twice.
func TestCandidatesAreSentOnce(t *testing.T) {
	s := newFakeServer(t)
	seen := make(chan string, 64)
	s.tamper = func(from, _ string, m protocol.Forwarded) protocol.Forwarded {
		if _, single := m.(protocol.Candidate); single {
			t.Errorf("%s sent a candidate alone", from)
		}
		for _, c := range candidatesIn(m) {
			seen <- from + " " + c
		}
		return m
	}
	alice, bob := s.join("alice"), s.join("bob")
	caller, _ := connect(t, alice, bob)
	alice.Close()
	bob.Close()
	close(seen)
	for _, step := range caller.Timeline() {
		if step.Name == "ICE connected" && step.At >= firstRepeat {
			t.Skipf("ICE connected after %v: candidates may have been repeated", step.At)
		}
	}
	var all []string
	for c := range seen {
		if slices.Contains(all, c) {
			t.Errorf("twice: %s", c)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		t.Error("no candidates at all")
	}
}

func TestRemoteCandidatesAreBounded(t *testing.T) {
	var r remoteCandidates
	for i := range protocol.MaxCallCandidate + 10 {
		r.add(nil, &protocol.CandidateInit{Candidate: fmt.Sprint(i)}, nil, &protocol.CandidateInit{})
	}
	if len(r.waiting) != protocol.MaxCallCandidate {
		t.Errorf("%d candidates wait, want %d", len(r.waiting), protocol.MaxCallCandidate)
	}
}

// Who floods a call loses it, and nothing waits for it.
func TestInboxIsBounded(t *testing.T) {
	s := newFakeServer(t)
	call := newCall(s.join("alice"), callKey{"bob", ""}) // nobody runs it
	for range inboxSize + 1 {
		call.post(func() {})
	}
	if !errors.Is(call.Err(), ErrProtocol) {
		t.Errorf("call ended with %v, want %v", call.Err(), ErrProtocol)
	}
}

func TestUsableICEServers(t *testing.T) {
	tests := []struct {
		url    string
		usable bool
	}{
		{"stun:192.0.2.1:3478", true},
		{"turn:192.0.2.1:3478?transport=udp", true},
		{"turn:192.0.2.1?transport=tcp", true},
		{"turns:relay.example.com:5349?transport=tcp", true},
		{"turns:relay.example.com:5349", true},
		{"turns:relay.example.com:5349?transport=udp", false},
		{"stuns:192.0.2.1", false},
		{"https://192.0.2.1", false},
		{"turn:", false},
	}
	for _, tt := range tests {
		got, _ := iceServers([]protocol.ICEServer{relayEntry(tt.url)})
		if (len(got) == 1) != tt.usable {
			t.Errorf("%s: %v, want usable: %v", tt.url, got, tt.usable)
		}
	}
	if got, _ := iceServers([]protocol.ICEServer{{URLs: []string{"turn:192.0.2.1"}}}); len(got) != 0 {
		t.Errorf("a relay without a credential: %v", got)
	}
	if _, overTLS := iceServers([]protocol.ICEServer{relayEntry("turns:relay.example.com")}); !overTLS["relay.example.com:5349"] {
		t.Errorf("over TLS: %v", overTLS)
	}
	if got, _ := iceServers(make([]protocol.ICEServer, 1000)); len(got) != 0 {
		t.Errorf("servers without URLs: %v", got)
	}
	// Pion takes what is left, or no call would begin.
	for _, tt := range tests {
		got, _ := iceServers([]protocol.ICEServer{relayEntry(tt.url)})
		pc, err := webrtc.NewPeerConnection(webrtc.Configuration{ICEServers: got})
		if err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		pc.GracefulClose()
	}
}
