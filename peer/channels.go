package peer

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/webrtc/v4"
)

// The labels of our two channels; every other channel is a byte stream, or the
// chat of a plain page.
const (
	labelControl = "control"
	labelChat    = "chat"
)

const (
	helloTimeout     = 2 * time.Second // then a channel of another label is the chat
	maxRemoteStreams = 64              // opened by the other side, at a time
	maxEarlyChannels = 16              // of those, before hello
	maxLabel         = 256             // bytes
)

var errNoCertificate = errors.New("no certificate to verify")

// channel is an open, detached data channel.
type channel struct {
	dc      *webrtc.DataChannel
	raw     datachannel.ReadWriteCloserDeadliner
	writing chan struct{} // a lock that can be waited for with a context
	remote  bool          // the other side opened it
}

// write sends one message, all of it or nothing. It waits while SCTP is behind.
func (ch *channel) write(ctx context.Context, message []byte, text bool) error {
	select {
	case ch.writing <- struct{}{}:
		defer func() { <-ch.writing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	expired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		ch.raw.SetWriteDeadline(time.Unix(1, 0))
		close(expired)
	})
	_, err := ch.raw.WriteDataChannel(message, text)
	if !stop() {
		<-expired
		ch.raw.SetWriteDeadline(time.Time{})
		if err != nil {
			err = ctx.Err()
		}
	}
	return err
}

// drain waits until everything written has been acknowledged by the other's SCTP.
func (ch *channel) drain(ctx context.Context) error {
	empty := make(chan struct{}, 1)
	ch.dc.OnBufferedAmountLow(func() {
		select {
		case empty <- struct{}{}:
		default:
		}
	})
	for ch.dc.BufferedAmount() > 0 {
		select {
		case <-empty:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// createChannels opens control, then chat.
func (l *link) createChannels() error {
	for _, label := range []string{labelControl, labelChat} {
		dc, err := l.pc.CreateDataChannel(label, nil)
		if err != nil {
			return err
		}
		l.whenOpen(dc, func(ch *channel) { l.post(func() { l.opened(ch) }) })
	}
	return nil
}

// remoteChannel is pion's callback for a channel that the other side opened.
func (l *link) remoteChannel(dc *webrtc.DataChannel) {
	l.whenOpen(dc, func(ch *channel) {
		ch.remote = true
		l.post(func() { l.opened(ch) })
	})
}

func (l *link) whenOpen(dc *webrtc.DataChannel, opened func(*channel)) {
	dc.OnOpen(func() {
		raw, err := dc.DetachWithDeadline()
		if err != nil {
			l.call.client.log.Debug("detach channel", "error", err)
			return
		}
		opened(&channel{dc: dc, raw: raw, writing: make(chan struct{}, 1)})
	})
}

// opened finds out what a channel is for.
func (l *link) opened(ch *channel) {
	l.waitForHello()
	switch label := ch.dc.Label(); {
	case label == labelControl && ch.remote != l.offerer && l.control == nil:
		l.control = ch
		l.call.timeline.mark("control open")
		l.readers.Go(l.readControl)
		l.readers.Go(l.writeControl)
		if l.offerer {
			l.sayHello()
		}
	case label == labelChat && ch.remote != l.offerer && l.chat == nil:
		l.chat = ch
	case label == labelControl || label == labelChat:
		ch.raw.Close()
	case l.greeted:
		l.offerStream(ch)
	case len(l.early) < maxEarlyChannels:
		l.early = append(l.early, ch)
	default:
		ch.raw.Close()
	}
	l.settle()
}

// waitForHello starts, with the first channel, the time that the other side has to
// say hello.
func (l *link) waitForHello() {
	if l.patience == nil {
		l.patience = time.AfterFunc(helloTimeout, func() {
			l.post(func() { l.impatient = true; l.settle() })
		})
	}
}

// settle establishes the call when it is known where the chat goes: over chat
// after the other's hello, or over the channel of a plain page. One that is known
// to be plain has a channel of its own, or uses ours when it had time to open one.
func (l *link) settle() {
	if isClosed(l.call.established) {
		return
	}
	switch {
	case l.greeted:
		if l.chat == nil {
			return
		}
	case len(l.early) > 0 && (l.call.plain || l.impatient):
		l.chat, l.early = l.early[0], l.early[1:]
		l.call.plain = true
	case l.call.plain && l.impatient && l.chat != nil:
	default:
		return
	}
	l.patience.Stop()
	for _, ch := range l.early {
		l.offerStream(ch)
	}
	l.early = nil
	if !l.call.establish() {
		return
	}
	l.readers.Go(l.readChat)
	if l.greeted && !l.offerer {
		l.sayHello()
		l.say(connected{}) // ringing will come before it
	}
}

// sayHello sends our first message. The caller's comes first; the callee answers it
// once the call has a place on its side, so that no caller takes a refused call for one
// that has connected.
func (l *link) sayHello() {
	l.say(hello{Received: l.call.counts.receivedNow(), Version: controlVersion})
}

// establish makes the call ready for its methods, unless other calls have all the
// places that there are.
func (c *Call) establish() bool {
	theirs := c.link.pc.SCTP().Transport().GetRemoteCertificate()
	ours, err := c.client.cert.GetFingerprints()
	if err != nil || len(ours) == 0 || len(theirs) == 0 {
		c.fail("establish", errNoCertificate)
		return false
	}
	if !c.client.connected(c) {
		return false
	}
	c.safety = safetyCode(strings.ToUpper(ours[0].Value), fingerprintOf(theirs), c.id)
	c.timeline.mark("chat open")
	close(c.established)
	c.client.callsChanged()
	return true
}
