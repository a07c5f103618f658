package peer

import (
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// A baseline speaks the plain form of the protocol, with the candidates one by one
// and a channel of its own: what a page written after a tutorial does.

const plainLabel = "channel1"

// wantPlainChat sends a text each way between a call and a page's channel.
func wantPlainChat(t *testing.T, call *Call, dc *webrtc.DataChannel, sends func(string) error) {
	t.Helper()
	got := make(chan string, 8)
	dc.OnMessage(func(m webrtc.DataChannelMessage) {
		if !m.IsString {
			t.Errorf("binary message %q", m.Data)
		}
		got <- string(m.Data)
	})
	say(t, call, "to the page")
	if err := call.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-got:
		if text != "to the page" {
			t.Errorf("the page got %q", text)
		}
	case <-testContext(t).Done():
		t.Fatal("the page got nothing")
	}
	if err := sends("from the page"); err != nil {
		t.Fatal(err)
	}
	wantText(t, call, "from the page")
	if p := call.Path(); p.Receipts || !call.Plain() || call.ID() != "" {
		t.Errorf("path %q, id %q: taken for one of ours", p, call.ID())
	}
	if call.SafetyCode() == "" {
		t.Error("no safety code")
	}
}

func TestPlainPageCalls(t *testing.T) {
	s := newFakeServer(t)
	bob, page := s.join("bob"), s.joinBaseline("page", webrtc.ICETransportPolicyAll)
	accepted := make(chan *Call, 1)
	go func() {
		call, err := bob.Accept(testContext(t))
		if err != nil {
			t.Error(err)
		}
		accepted <- call
	}()
	end, dc := page.offer("bob", plainLabel)
	defer end.pc.GracefulClose()
	wantPlainChat(t, <-accepted, dc, dc.SendText)
}

func TestPlainPageIsCalled(t *testing.T) {
	tests := []struct {
		name string
		own  string // label of the channel that the page opens
	}{
		{"with a channel of its own", plainLabel},
		{"using ours", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			alice, page := s.join("alice"), s.joinBaseline("page", webrtc.ICETransportPolicyAll)
			page.ownChannel = tt.own
			result := make(chan *Call, 1)
			go func() {
				call, err := alice.Call(testContext(t), "page")
				if err != nil {
					t.Error(err)
				}
				result <- call
			}()
			end := <-page.calls
			defer end.pc.GracefulClose()
			want := tt.own
			if want == "" {
				want = labelChat
			}
			dc := <-end.channel
			for dc.Label() != want {
				dc = <-end.channel
			}
			wantPlainChat(t, <-result, dc, dc.SendText)
		})
	}
}

// A page hangs up with leave and no id, or goes away.
func TestPlainPageLeaves(t *testing.T) {
	s := newFakeServer(t)
	bob, page := s.join("bob"), s.joinBaseline("page", webrtc.ICETransportPolicyAll)
	accepted := make(chan *Call, 1)
	go func() {
		call, _ := bob.Accept(testContext(t))
		accepted <- call
	}()
	end, _ := page.offer("bob", plainLabel)
	defer end.pc.GracefulClose()
	call := <-accepted
	if call == nil {
		t.FailNow()
	}
	page.socket.send("", protocol.Leave{Name: "bob"})
	<-call.Done()
}
