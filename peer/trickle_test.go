package peer

import (
	"testing"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// Candidates are repeated until the call is connected, and not again for one that is found late.
// New credentials begin a new set.
func TestCandidatesAreRepeatedUntilConnected(t *testing.T) {
	alice := newFakeServer(t).join("alice")
	tr := trickle{call: newCall(alice, callKey{"bob", protocol.NewCallID()})}
	defer tr.stop()
	found := func() {
		tr.waiting = append(tr.waiting, &protocol.CandidateInit{Candidate: "candidate:1 1 udp 1 192.0.2.1 1 typ host"})
		tr.flush()
	}
	tr.described("v=0", "first")
	tr.release(false)
	if found(); tr.repeat == nil || len(tr.said) != 1 {
		t.Errorf("before it is connected: %d candidates are to be repeated, want 1", len(tr.said))
	}
	tr.connected()
	if found(); tr.repeat != nil {
		t.Error("a late candidate is repeated although the call is connected")
	}
	tr.count = protocol.MaxCallCandidate
	tr.described("v=0", "second")
	if found(); tr.repeat == nil || len(tr.said) != 1 || tr.count != 0 {
		t.Errorf("after a restart: %d candidates are to be repeated and %d counted, want 1 and 0", len(tr.said), tr.count)
	}
}
