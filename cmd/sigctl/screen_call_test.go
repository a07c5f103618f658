package main

import (
	"testing"

	"github.com/muesli/termenv"
)

// What was accepted and not sent stays to be seen.
func TestScreenShowsWhatWasNotSent(t *testing.T) {
	ts := newTestScreen(t, 80, 24, termenv.Ascii)
	ts.send(inCall, unsent{Peer: "user2", Text: "too late"}, ended{Peer: "user2", Reason: "hung up", Undelivered: 1})
	ts.wantShown("user1 too late ✗", "✗ marks 1 message that user2 may not have received.")
}

// A line that was begun for one person is not sent to another one without being asked
// for again.
func TestScreenLineBegunForSomebodyElse(t *testing.T) {
	ts := newTestScreen(t, 80, 24, termenv.Ascii)
	ts.send(inCall, typed("for user2 "))
	ts.send(ended{Peer: "user2", Reason: "the other side hung up"})
	eve := inCall
	eve.Peer, eve.call = "eve", 8
	ts.send(eve, typed("alone"), press(keyEnter))
	ts.wantAsked()
	ts.wantShown("You typed this before eve was connected", "› for user2 alone")
	ts.send(press(keyEnter))
	ts.wantAsked("say 8 for user2 alone")
	ts.enter("for eve")
	ts.wantAsked("say 8 for eve")

	ts.send(ended{Peer: "eve", Reason: "the other side hung up"}, calling{Peer: "user2"})
	ts.send(typed("while it rings"), inCall, press(keyEnter))
	ts.wantAsked("say 7 while it rings")
}
