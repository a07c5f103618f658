package peer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

func TestDialRefused(t *testing.T) {
	s := newFakeServer(t)
	_, err := Dial(testContext(t), s.url(), &Config{User: "alice", Password: "wrong"})
	if !errors.Is(err, ErrAuth) {
		t.Errorf("wrong password: %v", err)
	}
	var refused *ServerError
	if !errors.As(err, &refused) || refused.Code != protocol.CodeBadCredentials {
		t.Errorf("wrong password: %v, want the server's code", err)
	}
}

func TestDialFaults(t *testing.T) {
	tests := []struct{ name, url, user string }{
		{"no user", "ws://localhost:1", ""},
		{"bad user", "ws://localhost:1", "a b"},
		{"scheme", "https://localhost:1", "alice"},
		{"no host", "ws://", "alice"},
		{"not a URL", "ws://[", "alice"},
		{"nobody listens", "ws://127.0.0.1:1", "alice"},
	}
	for _, tt := range tests {
		if c, err := Dial(testContext(t), tt.url, &Config{User: tt.user}); err == nil {
			c.Close()
			t.Errorf("%s: no error", tt.name)
		}
	}
}

// A server that never says hello does not hold Dial for ever.
func TestDialGivesUp(t *testing.T) {
	s := newFakeServer(t)
	s.mute = true
	ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, s.url(), &Config{User: "alice", Password: "password"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial: %v", err)
	}
}

// With Config.MaxCalls a caller learns at once that this side talks to another.
func TestMaxCalls(t *testing.T) {
	s := newFakeServer(t)
	one := func(c *Config) { c.MaxCalls = 1 }
	alice, bob, carol := s.join("alice", one), s.join("bob", one), s.join("carol", one)
	call, callee := connect(t, alice, bob)
	for _, busy := range []string{"alice", "bob"} {
		if _, err := carol.Call(testContext(t), busy); !errors.Is(err, ErrBusy) {
			t.Errorf("carol calls %s, who is in a call: %v, want %v", busy, err, ErrBusy)
		}
	}
	call.Close()
	<-callee.Done()
	connect(t, carol, bob)
}

func TestPeersAndPresence(t *testing.T) {
	s := newFakeServer(t)
	type change struct {
		name    string
		present bool
	}
	changes := make(chan change, 4)
	alice := s.join("alice", func(c *Config) {
		c.OnPresence = func(name string, present bool) { changes <- change{name, present} }
	})
	bob := s.join("bob")
	if got := <-changes; got != (change{"bob", true}) {
		t.Errorf("presence %v", got)
	}
	names, err := alice.Peers(testContext(t))
	if err != nil || len(names) != 1 || names[0] != "bob" {
		t.Errorf("peers %q, %v", names, err)
	}
	bob.Close()
	if got := <-changes; got != (change{"bob", false}) {
		t.Errorf("presence %v", got)
	}
}

func TestCallFaults(t *testing.T) {
	s := newFakeServer(t)
	alice := s.join("alice")
	if _, err := alice.Call(testContext(t), "nobody"); !errors.Is(err, ErrOffline) {
		t.Errorf("call to nobody: %v", err)
	}
	if _, err := alice.Call(testContext(t), "alice"); !errors.Is(err, ErrRejected) {
		t.Errorf("call to oneself: %v", err)
	}
	if _, err := alice.Call(testContext(t), "no name"); err == nil {
		t.Error("call to what is no name")
	}
	alice.Close()
	if _, err := alice.Call(testContext(t), "bob"); !errors.Is(err, ErrClosed) {
		t.Errorf("call after Close: %v", err)
	}
	if _, err := alice.Accept(testContext(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("accept after Close: %v", err)
	}
}

// Nobody accepts: the call waits unanswered until its caller gives up, and the
// callee forgets it.
func TestCallNobodyAccepts(t *testing.T) {
	s := newFakeServer(t)
	s.tamper = func(from, _ string, m protocol.Forwarded) protocol.Forwarded {
		if from == "bob" {
			t.Errorf("bob sent %T without being asked", m)
		}
		return m
	}
	alice, bob := s.join("alice"), s.join("bob")
	ctx, cancel := context.WithCancel(testContext(t))
	result := make(chan error)
	go func() {
		_, err := alice.Call(ctx, "bob")
		result <- err
	}()
	bob.waitIncoming(t, 1)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("Call: %v", err)
	}
	bob.waitIncoming(t, 0)
}

// waitIncoming waits until n calls are there to be accepted.
func (c *Client) waitIncoming(t testing.TB, n int) {
	t.Helper()
	ctx := testContext(t)
	for {
		c.mu.Lock()
		have, changed := len(c.calls.incoming), c.calls.changed
		c.mu.Unlock()
		if have == n {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%d calls wait, want %d", have, n)
		}
	}
}

func TestFifthCallIsBusy(t *testing.T) {
	s := newFakeServer(t)
	bob := s.join("bob")
	ctx, cancel := context.WithCancel(testContext(t))
	results := make(chan error)
	for i := range maxUnanswered {
		caller := s.join("caller" + string(rune('1'+i)))
		go func() {
			_, err := caller.Call(ctx, "bob")
			results <- err
		}()
		bob.waitIncoming(t, i+1)
	}
	if _, err := s.join("late").Call(testContext(t), "bob"); !errors.Is(err, ErrBusy) {
		t.Errorf("the call beyond the limit: %v", err)
	}
	accepted, err := bob.Accept(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := <-results; err != nil {
		t.Errorf("the call that was accepted: %v", err)
	}
	if accepted.Peer() == "late" {
		t.Error("the refused call was accepted")
	}
	cancel()
	for range maxUnanswered - 1 {
		<-results // accepted meanwhile, or cancelled
	}
}

func TestNoConnectionInTime(t *testing.T) {
	s := newFakeServer(t)
	s.tamper = func(_, _ string, m protocol.Forwarded) protocol.Forwarded {
		switch m := m.(type) {
		case protocol.Candidate, protocol.Candidates:
			return nil
		case protocol.Offer:
			m.Offer.SDP = withoutCandidates(m.Offer.SDP)
			return m
		case protocol.Answer:
			m.Answer.SDP = withoutCandidates(m.Answer.SDP)
			return m
		}
		return m
	}
	alice, bob := s.join("alice"), s.join("bob")
	go bob.Accept(testContext(t))
	result := make(chan error)
	go func() {
		_, err := alice.Call(testContext(t), "bob")
		result <- err
	}()
	bob.waitIncoming(t, 1)
	for _, call := range alice.allCalls(false) {
		call.post(call.timedOut) // as its timer does after 30 s
	}
	if err := <-result; !errors.Is(err, ErrTimeout) {
		t.Errorf("Call: %v", err)
	}
	bob.waitIncoming(t, 0)
}

func TestSignalingLoss(t *testing.T) {
	s := newFakeServer(t)
	alice, bob, carol := s.join("alice"), s.join("bob"), s.join("carol")
	a, b := connect(t, alice, bob)
	result := make(chan error)
	go func() {
		_, err := alice.Call(testContext(t), "carol")
		result <- err
	}()
	carol.waitIncoming(t, 1)
	s.drop("alice")
	<-alice.Done()
	if err := <-result; !errors.Is(err, ErrLost) {
		t.Errorf("the call that was being made: %v", err)
	}
	// The server tells bob, who ends the call for now.
	<-b.Done()
	<-a.Done()
	if !errors.Is(b.Err(), ErrLost) {
		t.Errorf("bob's call ended with %v", b.Err())
	}
	if _, err := alice.Call(testContext(t), "bob"); !errors.Is(err, ErrLost) {
		t.Errorf("a new call: %v", err)
	}
	if _, err := alice.Accept(testContext(t)); !errors.Is(err, ErrLost) {
		t.Errorf("Accept: %v", err)
	}
}

// Who is kicked is out of every call, at once, and knows why.
func TestKicked(t *testing.T) {
	s := newFakeServer(t)
	alice := s.join("alice")
	a, _ := connect(t, alice, s.join("bob"))
	s.conn("alice").endWith(protocol.CloseKicked)
	<-a.Done()
	for _, err := range []error{a.Err(), alice.Err()} {
		if !errors.Is(err, ErrKicked) || !errors.Is(err, ErrLost) {
			t.Errorf("ended with %v, want that the administrator ended it", err)
		}
	}
}

func TestFreshICEServers(t *testing.T) {
	s := newFakeServer(t)
	alice, bob := s.join("alice"), s.join("bob")
	alice.ice.set([]protocol.ICEServer{relayEntry("turn:192.0.2.1")}, time.Now().Unix()) // just expired
	connect(t, alice, bob)
	if servers, fresh := alice.ice.get(); !fresh || len(servers) != 1 || servers[0].Username != "fresh" {
		t.Errorf("servers %v, fresh %v", servers, fresh)
	}
}
