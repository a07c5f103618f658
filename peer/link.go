package peer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

const (
	closeGrace    = 100 * time.Millisecond // for a hang-up to be read after DTLS has closed
	goodbyeWithin = 300 * time.Millisecond // for the other side to acknowledge our hang-up
)

var errNoRelay = errors.New("relay only, but the server names no relay")

// link is one PeerConnection of a call with its channels. A call that lost to one
// that crossed it gets another; later a call whose path failed will, too.
type link struct {
	// set at construction
	call    *Call
	pc      *webrtc.PeerConnection
	offerer bool
	ctx     context.Context // ends when the link closes
	cancel  context.CancelFunc
	readers sync.WaitGroup
	relays  relayConns
	guard   guard

	goneOnce sync.Once

	controlOut    chan controlMessage
	controlDone   chan struct{} // closed when the control writer has ended
	gone          chan struct{} // closed when the other side has closed the connection
	took          chan struct{} // texts were taken since the last receipt
	remoteStreams atomic.Int32  // streams that the other side opened and that we have not closed

	// owned by the call's goroutine; chat no longer changes once it is established
	trickle   trickle
	remote    *remoteSDP // the other's latest description; nil before the first
	control   *channel
	chat      *channel
	early     []*channel // of other labels, opened before we know what speaks there
	greeted   bool       // the other's hello has come
	impatient bool       // it should have come by now
	patience  *time.Timer
	silence   *time.Timer // the path has been silent since it was started
	closing   bool        // the other side has closed the chat or the connection
	heardAll  bool        // the control channel has been read to its end
}

// newLink makes a PeerConnection for the call.
func newLink(call *Call, offerer, snap bool) (*link, error) {
	l := &link{
		call:        call,
		offerer:     offerer,
		controlOut:  make(chan controlMessage, 4),
		controlDone: make(chan struct{}),
		gone:        make(chan struct{}),
		took:        make(chan struct{}, 1),
		trickle:     trickle{call: call},
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	servers := call.client.iceServers(call.ctx)
	if call.client.relayOnly() && !hasRelay(servers) {
		l.cancel()
		return nil, errNoRelay
	}
	checks := &triggeredChecks{start: func(round int) { l.post(func() { l.check(round) }) }}
	pc, err := call.client.newPeerConnection(l.ctx, linkParts{&l.relays, &l.guard, checks}, servers, snap)
	if err != nil {
		l.cancel()
		return nil, err
	}
	l.pc = pc
	pc.OnICECandidate(func(c *webrtc.ICECandidate) { l.post(func() { l.trickle.add(c) }) })
	pc.OnICEConnectionStateChange(func(s webrtc.ICEConnectionState) { l.post(func() { l.iceState(s) }) })
	pc.SCTP().Transport().OnStateChange(l.dtlsState)
	pc.OnDataChannel(l.remoteChannel)
	return l, nil
}

// post gives the call's goroutine something to do.
func (l *link) post(event func()) {
	if l.ctx.Err() == nil {
		l.call.post(l.current(event))
	}
}

// postWait is post for what the other side can send without end: it waits.
func (l *link) postWait(event func()) {
	select {
	case l.call.inbox <- l.current(event):
	case <-l.ctx.Done():
	}
}

// current makes an event void once the call has another link.
func (l *link) current(event func()) func() {
	return func() {
		if l.call.link == l {
			event()
		}
	}
}

// setRemote gives pion the other's description, and the candidates that came early.
func (l *link) setRemote(kind webrtc.SDPType, sdp string) error {
	remote, err := readRemote(incomingSDP(sdp))
	if err != nil {
		return err
	}
	restarted := l.guard.described(remote.password(), remote.size())
	if err := l.pc.SetRemoteDescription(webrtc.SessionDescription{Type: kind, SDP: remote.forPion()}); err != nil {
		return err
	}
	l.remote = remote
	l.call.remote.describe(l, remote.candidates(), restarted)
	return nil
}

// described takes note of our own description.
func (l *link) described(sdp string) {
	password := icePassword(strings.Split(sdp, "\r\n"))
	l.trickle.described(sdp, password)
	l.guard.describes(password)
}

// check sends checks now, instead of in pion's next round.
func (l *link) check(round int) {
	if err := checkNow(l.pc, round); err != nil {
		l.call.client.log.Debug("checks were not sent", "error", err)
	}
}

func (l *link) iceState(s webrtc.ICEConnectionState) {
	switch s {
	case webrtc.ICEConnectionStateConnected, webrtc.ICEConnectionStateCompleted:
		l.call.timeline.mark("ICE connected")
		l.trickle.connected()
		if l.silence != nil {
			l.silence.Stop()
			l.silence = nil
		}
	case webrtc.ICEConnectionStateDisconnected:
		if l.silence == nil {
			l.silence = time.AfterFunc(lostTimeout, func() { l.post(l.pathLost) })
		}
	case webrtc.ICEConnectionStateFailed:
		l.pathLost()
	}
}

// pathLost ends the call; here a call will get another link.
func (l *link) pathLost() {
	if !isClosed(l.call.established) {
		l.call.timedOut()
		return
	}
	l.call.stop(ending{fmt.Errorf("%w: the other side cannot be reached any more", ErrLost), "lost"})
}

// dtlsState is pion's callback. After the other side has closed there may still be
// a hang-up to read.
func (l *link) dtlsState(s webrtc.DTLSTransportState) {
	switch s {
	case webrtc.DTLSTransportStateConnected:
		l.call.timeline.mark("DTLS connected")
	case webrtc.DTLSTransportStateFailed:
		l.post(func() { l.call.stop(ending{fmt.Errorf("%w: the encrypted connection failed", ErrLost), "lost"}) })
	case webrtc.DTLSTransportStateClosed:
		l.goneOnce.Do(func() { close(l.gone) })
		time.AfterFunc(closeGrace, func() { l.post(l.closedByPeer) })
	}
}

// closedByPeer ends the call because the other side has closed the chat channel or the
// connection. A hang-up that lies in the control channel is read first: it says why.
func (l *link) closedByPeer() {
	l.closing = true
	if l.control == nil || l.heardAll {
		l.call.closedByPeer()
		return
	}
	l.control.raw.SetReadDeadline(time.Unix(1, 0)) // controlRead follows
}

// controlRead ends the call once nothing more comes over the control channel. To a
// plain page that channel means nothing.
func (l *link) controlRead() {
	l.heardAll = true
	if l.closing || !l.call.plain {
		l.call.closedByPeer()
	}
}

// closedByPeer ends the call without a word of the other side. To a plain page that is
// how to hang up, and a leave without an id could hit the next call with it.
func (c *Call) closedByPeer() {
	if c.plain {
		c.stop(ending{err: ErrHangup})
		return
	}
	err := fmt.Errorf("%w: the other side closed it", ErrLost)
	c.stop(ending{err, protocol.ReasonHangup})
}

// sayGoodbye sends a hang-up on the control channel and waits, briefly, until the
// other side has it: closing throws away what is on the way.
func (l *link) sayGoodbye(reason string) {
	if l.control == nil {
		return
	}
	select {
	case l.controlOut <- hangup{reason}:
	default:
		return
	}
	timer := time.NewTimer(goodbyeWithin)
	defer timer.Stop()
	select {
	case <-l.controlDone:
	case <-l.gone:
	case <-timer.C:
	}
}

// close closes everything that the link opened and waits for it.
func (l *link) close() {
	l.cancel()
	l.relays.closeSilent()
	l.trickle.stop()
	for _, timer := range []*time.Timer{l.patience, l.silence} {
		if timer != nil {
			timer.Stop()
		}
	}
	if err := l.pc.GracefulClose(); err != nil {
		l.call.client.log.Debug("close PeerConnection", "error", err)
	}
	l.readers.Wait()
}
