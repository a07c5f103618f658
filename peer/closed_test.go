package peer

import (
	"errors"
	"testing"

	"github.com/pion/webrtc/v4"
)

// closing is a call of alice's with a pion peer that has channels to close.
type closing struct {
	call  *Call
	page  *baselineCall
	chans map[string]*webrtc.DataChannel
}

// wait returns the page's channels once the named ones are open.
func (c *baselineCall) wait(t *testing.T, labels ...string) map[string]*webrtc.DataChannel {
	t.Helper()
	open := map[string]*webrtc.DataChannel{}
	for len(open) < len(labels) {
		select {
		case dc := <-c.channel:
			open[dc.Label()] = dc
		case <-testContext(t).Done():
			t.Fatalf("only %d of the channels %q are open", len(open), labels)
		}
	}
	return open
}

// called has alice call a pion peer; calls has the pion peer call alice.
func called(t *testing.T, full bool) closing {
	t.Helper()
	s := newFakeServer(t)
	alice, page := s.join("alice"), s.joinBaseline("page", webrtc.ICETransportPolicyAll)
	page.full = full
	result := make(chan *Call, 1)
	go func() {
		call, err := alice.Call(testContext(t), "page")
		if err != nil {
			t.Error(err)
		}
		result <- call
	}()
	end := <-page.calls
	t.Cleanup(func() { end.pc.GracefulClose() })
	return closing{<-result, end, end.wait(t, labelControl, labelChat)}
}

func calls(t *testing.T, full bool) closing {
	t.Helper()
	s := newFakeServer(t)
	alice, page := s.join("alice"), s.joinBaseline("page", webrtc.ICETransportPolicyAll)
	page.full = full
	result := make(chan *Call, 1)
	go func() {
		call, err := alice.Accept(testContext(t))
		if err != nil {
			t.Error(err)
		}
		result <- call
	}()
	var end *baselineCall
	want := []string{labelControl, labelChat}
	if full {
		end = page.offerFull("alice")
	} else {
		end, _ = page.offer("alice", plainLabel)
		want = []string{plainLabel}
	}
	t.Cleanup(func() { end.pc.GracefulClose() })
	return closing{<-result, end, end.wait(t, want...)}
}

// Whoever closes a channel of the chat has ended the call, although the connection is
// up: what is sent from then on would arrive nowhere.
func TestClosedChannelEndsTheCall(t *testing.T) {
	for _, tt := range []struct {
		name   string
		start  func(*testing.T, bool) closing
		full   bool
		closes string
		want   error
	}{
		{"caller's chat", calls, true, labelChat, ErrLost},
		{"caller's control", calls, true, labelControl, ErrLost},
		{"callee's chat", called, true, labelChat, ErrLost},
		{"callee's control", called, true, labelControl, ErrLost},
		{"calling page's only channel", calls, false, plainLabel, ErrHangup},
		{"called page's chat", called, false, labelChat, ErrHangup},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := tt.start(t, tt.full)
			if c.call == nil {
				t.FailNow()
			}
			say(t, c.call, "hello")
			if err := c.chans[tt.closes].Close(); err != nil {
				t.Fatal(err)
			}
			wantEnd(t, c.call, tt.want)
			if err := c.call.Send(testContext(t), "nobody hears this"); !errors.Is(err, tt.want) {
				t.Errorf("Send: %v, want %v", err, tt.want)
			}
			if err := c.call.Flush(testContext(t)); tt.full && !errors.Is(err, tt.want) {
				t.Errorf("Flush without a receipt: %v, want %v", err, tt.want)
			}
		})
	}
}

// To a plain page our control channel means nothing: it may close it.
func TestPlainPageClosesControl(t *testing.T) {
	c := called(t, false)
	if c.call == nil {
		t.FailNow()
	}
	gone := make(chan struct{})
	c.chans[labelControl].OnClose(func() { close(gone) })
	c.chans[labelControl].Close()
	<-gone // both sides have closed it
	chat := c.chans[labelChat]
	wantPlainChat(t, c.call, chat, chat.SendText)
}

// A hang-up says more than the end of the channel that follows it, whoever is read
// first.
func TestHangupBeforeTheChannelCloses(t *testing.T) {
	c := calls(t, true)
	if c.call == nil {
		t.FailNow()
	}
	c.chans[labelControl].SendText(string(encodeControl(hangup{"busy"})))
	c.chans[labelChat].Close()
	wantEnd(t, c.call, ErrBusy)
}

// wantEnd waits for the end of a call and checks the reason.
func wantEnd(t *testing.T, call *Call, want error) {
	t.Helper()
	select {
	case <-call.Done():
	case <-testContext(t).Done():
		t.Fatal("the call goes on")
	}
	if !errors.Is(call.Err(), want) {
		t.Errorf("the call ended with %v, want %v", call.Err(), want)
	}
}
