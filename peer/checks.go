package peer

import (
	"fmt"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

// maxTriggered bounds the rounds of checks that a link's other side can trigger.
const maxTriggered = 16

// triggeredChecks makes up for checks that pion leaves out. A check from the other
// side has to be answered by one of ours on the same pair (RFC 8445, section
// 7.3.1.4), for our first may have been lost: at a relay that had no permission for
// us yet, or at a NAT. Pion leaves it out in the controlling role and waits for its
// next round, for up to 200 ms.
type triggeredChecks struct {
	start func(round int) // must not wait

	// owned by pion's ICE agent
	pairs map[uint64]bool // that have triggered a round
}

// received is told, by the ICE agent, of a check from the other side. It never
// makes pion select the pair.
func (t *triggeredChecks) received(m *stun.Message, _, _ ice.Candidate, pair *ice.CandidatePair) bool {
	controlling := m.Contains(stun.AttrICEControlled)
	if !controlling || pair.ResponsesReceived() > 0 || t.pairs[pair.ID()] || len(t.pairs) == maxTriggered {
		return false
	}
	if t.pairs == nil {
		t.pairs = map[uint64]bool{}
	}
	t.pairs[pair.ID()] = true
	t.start(len(t.pairs))
	return false
}

// checkNow starts a round of checks. Pion has no call for that, but does it for
// every new remote candidate; this one is of TCP, which we have none of, so it is
// paired with nothing and nothing is sent to it.
func checkNow(pc *webrtc.PeerConnection, round int) error {
	return pc.AddICECandidate(webrtc.ICECandidateInit{
		Candidate: fmt.Sprintf("candidate:1 1 tcp 1 192.0.2.1 %d typ host tcptype passive", round),
	})
}
