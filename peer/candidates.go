package peer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

const (
	firstBatchDelay = time.Millisecond      // host candidates come in one burst
	batchDelay      = 20 * time.Millisecond // for those of servers, which come one by one

	// A side that is not connected says its candidates again after a second, and then
	// after twice the time. The other side may check them as often as they were said,
	// see guard: on a path that loses much, its first checks may not have been enough.
	firstRepeat = time.Second
	maxRepeats  = 4
)

// trickle sends our candidates (RFC 8838): held until release, then in batches. It
// is owned by the call's goroutine.
type trickle struct {
	call     *Call
	sdp      string // our description: what it holds is not sent again
	waiting  []*protocol.CandidateInit
	count    int
	section  *sdpSection // of an answer, that they belong to; nil is what pion says
	index    uint16      // of that section
	released bool
	plain    bool // one by one and without the end, for a plain party
	batches  int
	timer    *time.Timer
	said     []*protocol.CandidateInit
	repeats  int
	repeat   *time.Timer // until the call is connected
	done     bool        // it is connected
	password string      // of ICE, that the candidates belong to
}

// described takes note of our description. Another password begins another set of candidates.
func (t *trickle) described(sdp, password string) {
	t.sdp = sdp
	if t.password != "" && t.password != password {
		t.stop()
		t.waiting, t.said, t.count, t.repeats, t.done = nil, nil, 0, 0, false
	}
	t.password = password
}

// answered says which section of an offer the candidates belong to: pion saw one alone.
func (t *trickle) answered(r *remoteSDP) {
	t.section, t.index = &r.sections[r.transport], uint16(r.transport)
}

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
	if t.section != nil {
		init.SDPMid, init.SDPMLineIndex = &t.section.mid, &t.index
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
	stopTimer(&t.timer)
	all := t.waiting
	t.waiting = nil
	t.batches++
	t.sendAll(all)
	t.said = append(t.said, slices.DeleteFunc(all, func(c *protocol.CandidateInit) bool { return c == nil })...)
	if t.repeat == nil && !t.plain && !t.done {
		t.repeat = time.AfterFunc(firstRepeat, func() { t.call.post(t.again) })
	}
}

// again repeats the candidates, as far as the other side has to take them.
func (t *trickle) again() {
	if t.repeat == nil || t.repeats == maxRepeats || t.count+len(t.said) > protocol.MaxCallCandidate {
		return
	}
	t.repeats++
	t.count += len(t.said)
	t.sendAll(t.said)
	t.repeat.Reset(firstRepeat << t.repeats)
}

// connected ends the repetitions.
func (t *trickle) connected() {
	t.done = true
	stopTimer(&t.repeat)
}

func (t *trickle) sendAll(all []*protocol.CandidateInit) {
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
	stopTimer(&t.timer)
	stopTimer(&t.repeat)
}

func stopTimer(timer **time.Timer) {
	if *timer != nil {
		(*timer).Stop()
		*timer = nil
	}
}

// Bounds of the candidates that pion gets, for as long as the other side's credentials
// are the same. Pion makes a pair of each with each of ours, of which there are about
// three. A machine with many networks has many host candidates, and its relay's, which
// may be the ones that count, come last.
const (
	maxHostCandidates  = 24
	maxOtherCandidates = 12
)

// remoteCandidates keeps the other side's candidates until pion can take them: before
// the remote description it would refuse them. It is owned by the call's goroutine.
type remoteCandidates struct {
	waiting   []*protocol.CandidateInit
	count     int // of the latest description, and of those before the first
	described bool
	taken     map[string]bool // that pion has got
	hosts     int
	others    int
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
		r.waiting = append(r.waiting, c)
	}
	if l != nil && l.remote != nil {
		r.apply(l)
	}
}

// describe takes the candidates of a description. restarted says that it has new
// credentials: pion has forgotten the candidates of the old ones.
func (r *remoteCandidates) describe(l *link, list []*protocol.CandidateInit, restarted bool) {
	early := r.waiting
	r.waiting = nil
	if r.described {
		r.count = 0
	}
	if restarted {
		r.taken, r.hosts, r.others = map[string]bool{}, 0, 0
	}
	r.described = true
	r.add(nil, list...)
	r.waiting = append(r.waiting, early...)
	r.apply(l)
}

// apply hands over what waits. A candidate that pion cannot use (TCP, a .local name), or
// one too many, is no fault.
func (r *remoteCandidates) apply(l *link) {
	for _, c := range r.waiting {
		if err := r.give(l, c); err != nil {
			l.call.client.log.Debug("candidate not used", "candidate", c.Candidate, "reason", err)
		}
	}
	r.waiting = nil
}

func (r *remoteCandidates) give(l *link, c *protocol.CandidateInit) error {
	parsed, addr, err := readCandidate(c.Candidate)
	if err != nil {
		return err
	}
	class, limit := &r.others, maxOtherCandidates
	if parsed.Type() == ice.CandidateTypeHost {
		class, limit = &r.hosts, maxHostCandidates
	}
	known := r.taken[c.Candidate]
	switch {
	case !l.remote.concerns(c):
		return errors.New("it belongs to a section whose transport is not used")
	case !known && *class == limit:
		return fmt.Errorf("there are %d of its kind already", limit)
	}
	l.guard.expect(addr, candidateSize(c))
	if known {
		return nil
	}
	*class++
	r.taken[c.Candidate] = true
	return l.pc.AddICECandidate(webrtc.ICECandidateInit{
		Candidate:        c.Candidate,
		SDPMid:           c.SDPMid,
		SDPMLineIndex:    c.SDPMLineIndex,
		UsernameFragment: c.UsernameFragment,
	})
}

// readCandidate returns a candidate that we can use, and its address.
func readCandidate(line string) (ice.Candidate, netip.AddrPort, error) {
	c, err := ice.UnmarshalCandidate(strings.TrimPrefix(line, "candidate:"))
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	ip, err := netip.ParseAddr(c.Address())
	switch {
	case err != nil:
		return nil, netip.AddrPort{}, err
	case !c.NetworkType().IsUDP() || c.Component() != ice.ComponentRTP:
		return nil, netip.AddrPort{}, errors.New("it is not of UDP, or not of the first component")
	}
	return c, plainAddr(netip.AddrPortFrom(ip, uint16(c.Port()))), nil
}

// candidateSize returns the least bytes that a candidate takes, in a message or as a line
// of a description.
func candidateSize(c *protocol.CandidateInit) int {
	if c.SDPMid == nil && c.SDPMLineIndex == nil {
		return lineSize("a=" + c.Candidate)
	}
	n := len(`{"candidate":""},`) + len(c.Candidate)
	if c.SDPMid != nil {
		n += len(`"sdpMid":"",`) + len(*c.SDPMid)
	}
	if c.SDPMLineIndex != nil {
		n += len(`"sdpMLineIndex":0,`)
	}
	return n
}
