package peer

import (
	"fmt"

	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// receive acts on a message of the other party. It runs on the call's goroutine,
// as all of this file does.
func (c *Call) receive(m protocol.Forwarded) {
	switch m := m.(type) {
	case protocol.Offer:
		c.renegotiate(m)
	case protocol.Answer:
		c.answered(m)
	case protocol.Candidate:
		c.remote.add(c.link, m.Candidate)
	case protocol.Candidates:
		c.remote.add(c.link, m.Candidates...)
	case protocol.Reject:
		if !isClosed(c.established) {
			c.stop(ending{err: rejection(m.Reason)})
		}
	case protocol.Leave:
		// The server says "disconnected" when the other's socket died. That ends an
		// established call too, for now: here a resumed session will keep it.
		c.stop(ending{err: departure(m.Reason)})
	case protocol.Renegotiate:
		c.offerAgain()
	}
}

// offer starts an outgoing call.
func (c *Call) offer() {
	l, err := newLink(c, true, true)
	if err != nil {
		c.fail("start call", err)
		return
	}
	c.link = l
	if err := l.createChannels(); err != nil {
		c.fail("open channels", err)
		return
	}
	if err := c.sendOffer(); err != nil {
		c.fail("offer", err)
	}
}

func (c *Call) sendOffer() error {
	desc, err := c.link.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	if err := c.link.pc.SetLocalDescription(desc); err != nil {
		return err
	}
	c.link.described(desc.SDP)
	c.timeline.mark("offer sent")
	return c.send(protocol.Offer{
		Name: c.peer, Call: c.id,
		Offer: protocol.Description{Type: "offer", SDP: outgoingSDP(desc.SDP)},
	})
}

// answered completes the offer that we made. Our candidates may go now: an offer
// can no longer cross ours.
func (c *Call) answered(m protocol.Answer) {
	if c.link == nil || c.link.pc.SignalingState() != webrtc.SignalingStateHaveLocalOffer {
		return
	}
	c.timeline.mark("answer received")
	if m.Call == "" && !isClosed(c.established) {
		c.id, c.plain = "", true
	}
	if err := c.setRemote(m.Answer, m.Permissions); err != nil {
		c.fail("use answer", fmt.Errorf("%w: %w", ErrProtocol, err))
		return
	}
	c.link.trickle.release(c.plain)
}

// answerHeld answers an incoming call, once.
func (c *Call) answerHeld() {
	if m := c.held; m != nil {
		c.held = nil
		c.timeline.mark("offer received")
		c.answer(*m)
	}
}

// startOver is the losing side of two calls that crossed: pion cannot roll an
// offer back, so the call gets a new PeerConnection and answers under their id.
func (c *Call) startOver(m protocol.Offer) {
	c.id, c.remote = m.Call, remoteCandidates{}
	if c.link != nil {
		c.link.close()
		c.link = nil
	}
	c.timeline.mark("calls crossed")
	c.answer(m)
}

func (c *Call) answer(m protocol.Offer) {
	c.plain = m.Call == ""
	l, err := newLink(c, false, offersSNAP(m.Offer.SDP))
	if err != nil {
		c.fail("start call", err)
		return
	}
	c.link = l
	if err := c.setRemote(m.Offer, m.Permissions); err != nil {
		c.unsupported(err)
		return
	}
	if err := c.sendAnswer(); err != nil {
		c.unsupported(err)
		return
	}
	l.trickle.release(c.plain)
}

// setRemote gives pion the other's description, unless it needs more than its
// sender may: the server should not have carried it, but need not be trusted with
// that. A server that names no permissions has none.
func (c *Call) setRemote(d protocol.Description, perms []string) error {
	if perms != nil {
		switch lacks, err := d.Exceeds(perms); {
		case err != nil:
			return err
		case lacks != "":
			return fmt.Errorf("its sender lacks the permission %q", lacks)
		}
	}
	return c.link.setRemote(webrtc.NewSDPType(d.Type), d.SDP)
}

// unsupported refuses an offer that cannot be used, or may not be.
func (c *Call) unsupported(err error) {
	reject := protocol.Reject{Name: c.peer, Call: c.id, Reason: protocol.ReasonUnsupported}
	if err := c.send(reject); err != nil {
		c.client.log.Debug("reject was not sent", "error", err)
	}
	c.stop(ending{err: fmt.Errorf("use offer: %w: %w", ErrProtocol, err)})
}

func (c *Call) sendAnswer() error {
	desc, err := c.link.pc.CreateAnswer(nil)
	if err != nil {
		return err
	}
	if err := c.link.pc.SetLocalDescription(desc); err != nil {
		return err
	}
	c.link.described(desc.SDP)
	c.link.trickle.answered(c.link.remote)
	c.timeline.mark("answer sent")
	return c.send(protocol.Answer{
		Name: c.peer, Call: c.id,
		Answer: protocol.Description{Type: "answer", SDP: c.link.remote.answer(outgoingSDP(desc.SDP))},
	})
}

// renegotiate answers a further offer under the id of this call.
func (c *Call) renegotiate(m protocol.Offer) {
	if c.held != nil {
		c.held = &m // nobody has seen the first
		return
	}
	if c.link == nil {
		return
	}
	if err := c.setRemote(m.Offer, m.Permissions); err != nil {
		c.fail("renegotiate", fmt.Errorf("%w: %w", ErrProtocol, err))
		return
	}
	if err := c.sendAnswer(); err != nil {
		c.fail("renegotiate", err)
	}
}

// offerAgain is the caller's part when the callee asks for an offer.
func (c *Call) offerAgain() {
	if c.link == nil || !c.link.offerer || c.link.pc.SignalingState() != webrtc.SignalingStateStable {
		return
	}
	if err := c.sendOffer(); err != nil {
		c.fail("renegotiate", err)
	}
}
