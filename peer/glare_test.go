package peer

import (
	"sync"
	"testing"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// crossing holds the first offers of both sides until both are on their way.
func crossing() func(from, to string, m protocol.Forwarded) protocol.Forwarded {
	var both sync.WaitGroup
	both.Add(2)
	var mu sync.Mutex
	seen := map[string]bool{}
	return func(from, _ string, m protocol.Forwarded) protocol.Forwarded {
		if _, ok := m.(protocol.Offer); !ok {
			return m
		}
		mu.Lock()
		first := !seen[from]
		seen[from] = true
		mu.Unlock()
		if first {
			both.Done()
			both.Wait()
		}
		return m
	}
}

// Two who call each other at the same moment get one call, whoever's id is less.
func TestCallsThatCross(t *testing.T) {
	lost := map[bool]bool{} // was it alice who answered?
	for len(lost) < 2 {
		s := newFakeServer(t)
		s.tamper = crossing()
		alice, bob := s.join("alice"), s.join("bob")
		calls := make(chan *Call, 2)
		for _, pair := range [][2]*Client{{alice, bob}, {bob, alice}} {
			go func() {
				call, err := pair[0].Call(testContext(t), pair[1].User())
				if err != nil {
					t.Errorf("%s: %v", pair[0].User(), err)
				}
				calls <- call
			}()
		}
		a, b := <-calls, <-calls
		if a == nil || b == nil {
			t.FailNow()
		}
		if a.ID() != b.ID() || a.SafetyCode() != b.SafetyCode() {
			t.Fatalf("calls %s and %s", a.ID(), b.ID())
		}
		wantChat(t, a, b)
		if b.client == alice {
			a = b
		}
		lost[!a.link.offerer] = true
		alice.Close()
		bob.Close()
	}
}

func TestHoldsAgainst(t *testing.T) {
	tests := []struct {
		name, ours, user, theirs, from string
		want                           bool
	}{
		{"lesser", "A", "alice", "B", "bob", true},
		{"greater", "B", "alice", "A", "bob", false},
		{"bytewise", "Z", "alice", "a", "bob", true},
		{"equal, lesser name", "A", "alice", "A", "bob", true},
		{"equal, greater name", "A", "bob", "A", "alice", false},
		{"plain", "Z", "bob", "", "alice", true},
	}
	for _, tt := range tests {
		call := &Call{client: &Client{cfg: Config{User: tt.user}}, key: callKey{tt.from, tt.ours}}
		if got := call.holdsAgainst(protocol.Offer{Name: tt.from, Call: tt.theirs}); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
