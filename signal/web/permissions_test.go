//go:build integration

package web

import (
	"fmt"
	"testing"

	"github.com/sigctl/sigctl/pkg/protocol"
)

func TestOfferBeyondItsSendersPermissions(t *testing.T) {
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
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			mallory := newPerson(t, s, "mallory", describing(tt.sdp))
			mallory.signIn("mallory-password")
			mallory.wantVisible("app")
			alice := signedIn(t, s, "alice")[0]
			s.permit("mallory", tt.permissions...)
			mallory.call(alice)
			alice.wantText("find-hint", "A call was refused: mallory asked for more than is allowed in this room.")
			mallory.wantText("ended-text", "alice cannot take this kind of call.")
			if got := s.sent("alice", "reject"); len(got) != 1 || got[0]["reason"] != protocol.ReasonUnsupported {
				t.Errorf("got %v, want one reject as unsupported", got)
			}
			if eval[bool](alice, `document.getElementById("call").checkVisibility()`) {
				t.Error("the call is shown, want it refused before")
			}
		})
	}
}

func TestAnswerBeyondItsSendersPermissions(t *testing.T) {
	s := newFakeServer(t)
	people := signedIn(t, s, "alice", "mallory")
	alice, mallory := people[0], people[1]
	s.permit("mallory", protocol.PermJoin)
	alice.call(mallory)
	alice.wantText("ended-text", "mallory asked for more than is allowed in this room.")
	mallory.wantText("ended-text", "alice cannot take this kind of call.")
}

// Permissions that were taken away hold for an open call, too.
func TestRenegotiationBeyondItsSendersPermissions(t *testing.T) {
	s := newFakeServer(t)
	_, bob := inCall(t, s)
	offer := s.sent("alice", "offer")[0]
	s.inject("bob", message{
		"type": "offer", "name": "alice", "call": offer["call"], "offer": offer["offer"], "permissions": []string{protocol.PermJoin},
	})
	bob.wantText("ended-text", "alice asked for more than is allowed in this room.")
}

// Of two calls that cross the one that is not permitted does not end the other.
func TestOfferBeyondPermissionsDoesNotCross(t *testing.T) {
	s := newFakeServer(t)
	alice := newPerson(t, s, "alice", `crypto.getRandomValues = (bytes) => bytes.fill(9);`)
	bob := newPerson(t, s, "bob", `crypto.getRandomValues = (bytes) => bytes.fill(1);`) // whose call would stay
	for _, p := range []*person{alice, bob} {
		p.signIn(p.name + "-password")
		p.wantVisible("app")
	}
	s.hold("answer")
	alice.call(bob)
	bob.wantText("status", "Connecting…")
	offer := s.sent("alice", "offer")[0]
	s.inject("alice", message{
		"type": "offer", "name": "bob", "call": "AQEBAQEBAQEBAQEBAQEBAQ", "offer": offer["offer"], "permissions": []string{protocol.PermJoin},
	})
	alice.wantText("find-hint", "A call was refused: bob asked for more than is allowed in this room.")
	s.release(1)
	alice.wantText("status", "Connected, direct")
}

func TestPermissionsOfAWrongForm(t *testing.T) {
	s := newFakeServer(t)
	alice := signedIn(t, s, "alice")[0]
	for i, permissions := range []any{nil, "data", message{"0": "data"}, []any{[]string{"data"}}} {
		name := fmt.Sprintf("mallory%d", i)
		s.join(name)
		sdp := "v=0\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
		s.inject("alice", message{"type": "offer", "name": name, "offer": message{"type": "offer", "sdp": sdp}, "permissions": permissions})
		alice.wantText("find-hint", "A call was refused: "+name+" asked for more than is allowed in this room.")
	}
}

func TestRoomInWhichChattingIsNotAllowed(t *testing.T) {
	s := newFakeServer(t)
	alice := newPerson(t, s, "alice")
	bob := newPerson(t, s, "bob")
	for _, p := range []*person{alice, bob} {
		p.signInTo("gallery", p.name+"-password")
		p.wantVisible("idle-mute")
	}
	alice.wantPerson("bob")
	alice.call(bob)
	alice.wantText("find-hint", "You are not allowed to chat in this room.")
	alice.write("#find-name", "bob\r")
	alice.wantText("find-hint", "You are not allowed to chat in this room.")
	if got := s.sent("alice", "offer"); len(got) > 0 {
		t.Errorf("got %v, want no offer: the server would refuse it", got)
	}
	sdp := "v=0\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
	s.inject("alice", message{"type": "offer", "name": "bob", "offer": message{"type": "offer", "sdp": sdp}, "permissions": everything})
	alice.wantText("find-hint", "bob called, but you are not allowed to chat in this room.")
}

// What is no longer allowed is not offered; the call that stands goes on.
func TestPermissionThatIsTakenAway(t *testing.T) {
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	s.permit("alice", protocol.PermJoin)
	s.expire("alice")
	alice.waitFor(`document.querySelector("[data-muted]")`)
	alice.say("still here")
	bob.wantHeard("still here")
	bob.click("#hangup")
	alice.wantText("ended-text", "bob hung up.")
	if eval[bool](alice, `document.getElementById("again").checkVisibility()`) {
		t.Error("another call is offered, want none")
	}
	alice.click("#close")
	alice.wantVisible("idle-mute")
	alice.wantText("find-hint", "You are not allowed to chat in this room.")
}

func TestRoomDemandsTheRelay(t *testing.T) {
	for room, want := range map[string]string{"": "all", "relayed": "relay"} {
		s := newFakeServer(t)
		alice := newPerson(t, s, "alice", keepConnections)
		alice.signInTo(room, "alice-password")
		alice.wantVisible("app")
		alice.write("#find-name", "nobody\r")
		alice.waitFor(`connections.length === 1`)
		if got := eval[string](alice, `connections[0].getConfiguration().iceTransportPolicy`); got != want {
			t.Errorf("room %q: got the policy %q, want %q", room, got, want)
		}
	}
}
