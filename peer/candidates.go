package peer

import (
	"strings"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

const (
	firstBatchDelay = time.Millisecond      // host candidates come in one burst
	batchDelay      = 20 * time.Millisecond // for those of servers, which come one by one
)

// trickle sends our candidates (RFC 8838): held until release, then in batches. It
// is owned by the call's goroutine.
type trickle struct {
	call     *Call
	sdp      string // our description: what it holds is not sent again
	waiting  []*protocol.CandidateInit
	count    int
	released bool
	plain    bool // one by one and without the end, for a plain party
	batches  int
	timer    *time.Timer
}

func (t *trickle) described(sdp string) { t.sdp = sdp }

// release lets the candidates go.
func (t *trickle) release(plain bool) {
	t.released, t.plain = true, plain
	t.flush()
}

// add takes one candidate of pion's; nil ends them.
func (t *trickle) add(c *webrtc.ICECandidate) {
	if t.count++; t.count > protocol.MaxCallCandidate {
		return
	}
	if c == nil {
		if !strings.Contains(t.sdp, "a=end-of-candidates") {
			t.waiting = append(t.waiting, nil)
		}
		t.flush()
		return
	}
	init := c.ToJSON()
	if strings.Contains(t.sdp, init.Candidate) {
		return
	}
	t.waiting = append(t.waiting, &protocol.CandidateInit{
		Candidate:        withoutBase(init.Candidate),
		SDPMid:           init.SDPMid,
		SDPMLineIndex:    init.SDPMLineIndex,
		UsernameFragment: init.UsernameFragment,
	})
	if t.timer == nil {
		delay := batchDelay
		if t.batches == 0 {
			delay = firstBatchDelay
		}
		t.timer = time.AfterFunc(delay, func() { t.call.post(t.flush) })
	}
}

func (t *trickle) flush() {
	if !t.released {
		return
	}
	t.stop()
	all := t.waiting
	t.waiting = nil
	t.batches++
	for len(all) > 0 {
		n := min(len(all), protocol.MaxCandidates)
		if err := t.send(all[:n]); err != nil {
			t.call.client.log.Debug("candidates were not sent", "error", err)
			return
		}
		all = all[n:]
	}
}

func (t *trickle) send(batch []*protocol.CandidateInit) error {
	if !t.plain {
		return t.call.send(protocol.Candidates{Name: t.call.peer, Call: t.call.id, Candidates: batch})
	}
	for _, c := range batch {
		if c == nil {
			continue
		}
		if err := t.call.send(protocol.Candidate{Name: t.call.peer, Candidate: c}); err != nil {
			return err
		}
	}
	return nil
}

func (t *trickle) stop() {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

// remoteCandidates keeps the other side's candidates until pion can take them:
// before the remote description it would refuse them.
type remoteCandidates struct {
	waiting []webrtc.ICECandidateInit
	count   int
}

// add takes candidates; a nil one ends them, which pion need not know.
func (r *remoteCandidates) add(l *link, list ...*protocol.CandidateInit) {
	for _, c := range list {
		if c == nil || c.Candidate == "" {
			continue
		}
		if r.count++; r.count > protocol.MaxCallCandidate {
			return
		}
		r.waiting = append(r.waiting, webrtc.ICECandidateInit{
			Candidate:        c.Candidate,
			SDPMid:           c.SDPMid,
			SDPMLineIndex:    c.SDPMLineIndex,
			UsernameFragment: c.UsernameFragment,
		})
	}
	if l != nil && l.described {
		r.apply(l)
	}
}

// apply hands over what waits. A candidate that pion cannot use (TCP, a .local
// name) is no fault.
func (r *remoteCandidates) apply(l *link) {
	for _, c := range r.waiting {
		if err := l.pc.AddICECandidate(c); err != nil {
			l.call.client.log.Debug("candidate not used", "candidate", c.Candidate, "error", err)
		}
	}
	r.waiting = nil
}
