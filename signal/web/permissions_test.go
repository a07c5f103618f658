//go:build integration

package web

import (
	"fmt"
	"testing"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/signal/web/webtest"
)

func TestOfferBeyondItsSendersPermissions(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	mallory := newPerson(t, s, "mallory", describing(`change(sdp)`))
	mallory.SignIn("mallory-password")
	mallory.WantVisible("#app")
	alice := signedIn(t, s, "alice")[0]
	const media = `sdp + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=sendrecv\r\n"`
	for _, tt := range []struct {
		name, sdp   string
		permissions []string
	}{
		{"data channel", `sdp`, []string{protocol.PermJoin, protocol.PermPublish, protocol.PermSubscribe}},
		{"media of a subscriber", media, []string{protocol.PermJoin, protocol.PermData, protocol.PermSubscribe}},
		{"not SDP", `"hello"`, everything},
		{"SDP that reads in two ways", `sdp + "a=inactive\ra=sendrecv\r\n"`, everything},
		{"no SDP", `undefined`, everything},
	} {
		before := len(s.sent("alice", "reject"))
		webtest.Eval[any](mallory, `void (window.change = (sdp) => `+tt.sdp+`)`)
		s.permit("mallory", tt.permissions...)
		mallory.Call("alice")
		mallory.WantEnded("alice cannot take this kind of call.")
		alice.WantText("#find-hint", "A call was refused: mallory asked for more than is allowed in this room.")
		if got := s.sent("alice", "reject")[before:]; len(got) != 1 || got[0]["reason"] != protocol.ReasonUnsupported {
			t.Errorf("%s: got %v, want one reject as unsupported", tt.name, got)
		}
		if webtest.Eval[bool](alice, `document.getElementById("call").checkVisibility()`) {
			t.Errorf("%s: the call is shown, want it refused before", tt.name)
		}
	}
}

func TestAnswerBeyondItsSendersPermissions(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	people := signedIn(t, s, "alice", "mallory")
	alice, mallory := people[0], people[1]
	s.permit("mallory", protocol.PermJoin)
	alice.Call(mallory.Name)
	alice.WantText("#ended-text", "mallory asked for more than is allowed in this room.")
	mallory.WantText("#find-hint", "alice called, but no connection could be made.")
}

// Permissions that were taken away hold for an open call, too.
func TestRenegotiationBeyondItsSendersPermissions(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	_, bob := inCall(t, s)
	offer := s.sent("alice", "offer")[0]
	s.inject("bob", message{
		"type": "offer", "name": "alice", "call": offer["call"], "offer": offer["offer"], "permissions": []string{protocol.PermJoin},
	})
	bob.WantText("#ended-text", "alice asked for more than is allowed in this room.")
}

// Of two calls that cross the one that is not permitted does not end the other.
func TestOfferBeyondPermissionsDoesNotCross(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice := newPerson(t, s, "alice", `crypto.getRandomValues = (bytes) => bytes.fill(9);`)
	bob := newPerson(t, s, "bob", `crypto.getRandomValues = (bytes) => bytes.fill(1);`) // whose call would stay
	for _, p := range []*webtest.Person{alice, bob} {
		p.SignIn(p.Name + "-password")
		p.WantVisible("#app")
	}
	s.hold("answer")
	alice.Call(bob.Name)
	s.releaseAfter(1, func() {
		offer := s.sent("alice", "offer")[0]
		s.inject("alice", message{
			"type": "offer", "name": "bob", "call": "AQEBAQEBAQEBAQEBAQEBAQ", "offer": offer["offer"], "permissions": []string{protocol.PermJoin},
		})
		alice.WantText("#find-hint", "A call was refused: bob asked for more than is allowed in this room.")
	})
	alice.WantText("#status", "Connected, direct")
}

func TestPermissionsOfAWrongForm(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice := signedIn(t, s, "alice")[0]
	for i, permissions := range []any{nil, "data", message{"0": "data"}, []any{[]string{"data"}}} {
		name := fmt.Sprintf("mallory%d", i)
		s.join(name)
		sdp := "v=0\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
		s.inject("alice", message{"type": "offer", "name": name, "offer": message{"type": "offer", "sdp": sdp}, "permissions": permissions})
		alice.WantText("#find-hint", "A call was refused: "+name+" asked for more than is allowed in this room.")
	}
}

func TestRoomInWhichChattingIsNotAllowed(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice := newPerson(t, s, "alice")
	bob := newPerson(t, s, "bob")
	for _, p := range []*webtest.Person{alice, bob} {
		p.SignInTo("gallery", p.Name+"-password")
		p.WantVisible("#idle-mute")
	}
	alice.WantPerson("bob")
	alice.Call(bob.Name)
	alice.WantText("#find-hint", "You are not allowed to chat in this room.")
	alice.Write("#find-name", "bob\r")
	alice.WantText("#find-hint", "You are not allowed to chat in this room.")
	if got := s.sent("alice", "offer"); len(got) > 0 {
		t.Errorf("got %v, want no offer: the server would refuse it", got)
	}
	sdp := "v=0\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
	s.inject("alice", message{"type": "offer", "name": "bob", "offer": message{"type": "offer", "sdp": sdp}, "permissions": everything})
	alice.WantText("#find-hint", "bob called, but you are not allowed to chat in this room.")
}

// What is no longer allowed is not offered; the call that stands goes on.
func TestPermissionThatIsTakenAway(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	s.permit("alice", protocol.PermJoin)
	s.expire("alice")
	alice.WaitFor(`document.querySelector("[data-muted]")`)
	alice.Say("still here")
	bob.WantHeard("still here")
	bob.Click("#hangup")
	alice.WantText("#ended-text", "bob hung up.")
	if webtest.Eval[bool](alice, `document.getElementById("again").checkVisibility()`) {
		t.Error("another call is offered, want none")
	}
	alice.Click("#close")
	alice.WantVisible("#idle-mute")
	alice.WantText("#find-hint", "You are not allowed to chat in this room.")
}

func TestRoomDemandsTheRelay(t *testing.T) {
	t.Parallel()
	for room, want := range map[string]string{"": "all", "relayed": "relay"} {
		s := newFakeServer(t)
		alice := newPerson(t, s, "alice", keepConnections)
		alice.SignInTo(room, "alice-password")
		alice.WantVisible("#app")
		alice.Write("#find-name", "nobody\r")
		alice.WaitFor(`connections.length === 1`)
		if got := webtest.Eval[string](alice, `connections[0].getConfiguration().iceTransportPolicy`); got != want {
			t.Errorf("room %q: got the policy %q, want %q", room, got, want)
		}
	}
}
