//go:build integration

package web

import (
	"testing"

	"github.com/sigctl/sigctl/signal/web/webtest"
)

// noReceipts keeps a page from confirming what it got, unless it does so at the end.
const noReceipts = `
	const later = setTimeout;
	window.setTimeout = (then, ms, ...rest) => ms === 50 ? 1 : later(then, ms, ...rest);`

// keepSilent makes a page of which channels and connections are kept notice nothing.
const keepSilent = `for (const label in channels) channels[label].onclose = null;
	connections.at(-1).onconnectionstatechange = null;`

// However a call ends, at once and with something typed and not sent: the person is told
// what did not arrive, and it never gets to whoever calls next.
func TestEndWithInputPending(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	people := map[string]*webtest.Person{}
	for _, name := range []string{"alice", "bob", "carol"} {
		p := newPerson(t, s, name, noReceipts, keepChannels, keepConnections)
		p.SignIn(name + "-password")
		p.WantVisible("#app")
		people[name] = p
	}
	alice, bob, carol := people["alice"], people["bob"], people["carol"]
	for _, tt := range []struct {
		name string
		end  func(s *fakeServer, alice, bob *webtest.Person)
		want string
		lost bool // the other side did not confirm
	}{
		{"chat channel closed", func(_ *fakeServer, _, bob *webtest.Person) {
			webtest.Eval[any](bob, `(() => {`+keepSilent+` channels.chat.close(); })()`)
		}, "bob hung up.", true},
		{"control channel closed", func(_ *fakeServer, _, bob *webtest.Person) {
			webtest.Eval[any](bob, `(() => {`+keepSilent+` channels.control.close(); })()`)
		}, "bob hung up.", true},
		{"connection closed", func(_ *fakeServer, _, bob *webtest.Person) {
			webtest.Eval[any](bob, `(() => {`+keepSilent+` connections.at(-1).close(); })()`)
		}, "bob hung up.", true},
		{"leave", func(s *fakeServer, _, _ *webtest.Person) {
			s.inject("alice", message{"type": "leave", "name": "bob", "call": lastCall(s)})
		}, "bob hung up.", true},
		{"reject", func(s *fakeServer, _, _ *webtest.Person) {
			s.inject("alice", message{"type": "reject", "name": "bob", "call": lastCall(s), "reason": "declined"})
		}, "bob declined.", true},
		{"connection failed", func(_ *fakeServer, alice, _ *webtest.Person) {
			webtest.Eval[any](alice, `Object.defineProperty(connections.at(-1), "connectionState", { value: "failed" }),
				void connections.at(-1).dispatchEvent(new Event("connectionstatechange"))`)
		}, "The connection was lost.", true},
		{"broken protocol", func(_ *fakeServer, _, bob *webtest.Person) {
			webtest.Eval[any](bob, `channels.control.send("?")`)
		}, "bob sent something this page cannot use.", true},
		{"hung up there", func(s *fakeServer, _, bob *webtest.Person) {
			s.hold("leave") // that may be faster than what was confirmed last
			bob.Click("#hangup")
		}, "bob hung up.", false},
		{"hung up here", func(_ *fakeServer, alice, _ *webtest.Person) { alice.Click("#hangup") }, "You hung up.", true},
		{"signed out there", func(s *fakeServer, _, bob *webtest.Person) {
			s.hold("leave")
			bob.Click("#signout")
		}, "bob hung up.", false},
		{"server lost, then hung up", func(s *fakeServer, alice, bob *webtest.Person) {
			s.drop("bob", 1011)
			bob.Click("#hangup")
		}, "bob hung up.", false},
	} {
		t.Log(tt.name)
		alice.Call("bob")
		alice.WantText("#status", "Connected, direct")
		bob.Say("hello")
		alice.WantHeard("hello")
		alice.Say("sent, before: " + tt.name)
		bob.WantHeard("sent, before: " + tt.name)
		alice.Type("only for bob")
		tt.end(s, alice, bob)
		alice.WantEnded(tt.want)
		wantUndelivered(alice, tt.lost)
		wantNothingLeft(alice, carol, "only for carol, after: "+tt.name)
		s.release(0)
		if webtest.Eval[bool](bob, `document.getElementById("signin").checkVisibility()`) {
			bob.SignIn("bob-password")
			bob.WantVisible("#app")
		} else {
			bob.WantVisible("#ended")
		}
	}
}

// lastCall is the id of alice's latest call.
func lastCall(s *fakeServer) any {
	offers := s.sent("alice", "offer")
	return offers[len(offers)-1]["call"]
}

// wantUndelivered checks what alice is told about "sent", and about what she typed.
func wantUndelivered(alice *webtest.Person, lost bool) {
	alice.T.Helper()
	const marks = `[...document.querySelectorAll(".ours .mark svg")].map((mark) => mark.ariaLabel).join()`
	want := "Received,Not sent"
	if lost {
		want = "May not have been received,Not sent"
	}
	if got := webtest.Eval[string](alice, marks); got != want {
		alice.T.Errorf("got the marks %s, want %s", got, want)
	}
	const notes = `[...document.querySelectorAll("#messages .note")].slice(1).map((note) => note.textContent).join()`
	want = "Your last message was not sent"
	if lost {
		want = "bob may not have received the messages marked ✗," + want
	}
	if got := webtest.Eval[string](alice, notes); got != want {
		alice.T.Errorf("got the notes %q, want %q", got, want)
	}
}

// wantNothingLeft has carol call, who must hear what is for her and nothing else.
func wantNothingLeft(alice, carol *webtest.Person, text string) {
	alice.T.Helper()
	const messages = `document.querySelectorAll(".message").length`
	before := webtest.Eval[int](carol, messages)
	carol.Call("alice")
	alice.WantText("#status", "Connected, direct")
	carol.WantText("#status", "Connected, direct")
	alice.Click("#text")
	alice.Type(text + "\r")
	carol.WantHeard(text)
	if got := webtest.Eval[int](carol, messages); got != before+1 {
		alice.T.Errorf("carol got %d messages, want one", got-before)
	}
	carol.Click("#hangup")
	alice.WantEnded("carol hung up.")
}
