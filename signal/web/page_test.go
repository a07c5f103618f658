//go:build integration

package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sigctl/sigctl/signal/web/webtest"
)

func TestSignInFailureIsSaidBesideTheForm(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.join("taken")
	p := newPerson(t, s, "alice")
	for _, tt := range []struct{ name, password, room, want, focus string }{
		{"alice", "wrong", "", "Wrong name or password.", "password"},
		{"taken", "taken-password", "", "This name is already in use. Sign out there first.", "password"},
		{"hasty", "any", "", "Too many attempts. Try again in 8 s.", "password"},
		{"alice", "alice-password", "vault", "You are not allowed to join the room vault.", "room"},
		{"alice", "alice-password", "full", "The room full is full, or the server is busy. Try again in 10 s.", "password"},
		{"alice", "alice-password", "room/7", "A room’s name has letters, digits and . _ @ + - only.", "room"},
	} {
		p.Name = tt.name
		p.SignInTo(tt.room, tt.password)
		p.WantText("#signin-error", tt.want)
		p.WantFocus("#" + tt.focus)
	}
}

func TestSignInSaysThatTheServerIsGone(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	p := newPerson(t, s, "alice")
	s.Close()
	p.SignIn("alice-password")
	p.WantText("#signin-error", "The server cannot be reached. Check your connection and try again.")
}

func TestPeopleComeAndGo(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice := signedIn(t, s, "alice")[0]
	alice.WantVisible("#people-empty")
	bob := signedIn(t, s, "bob")[0]
	alice.WantPerson("bob")
	bob.WantPerson("alice")
	bob.Click("#signout")
	bob.WantVisible("#signin")
	alice.WantVisible("#people-empty")
}

func TestTwoPagesChatBothWays(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	alice.Say("hello")
	bob.WantHeard("hello")
	bob.Say("<b>hi</b> — שלום")
	alice.WantHeard("<b>hi</b> — שלום")
	for _, p := range []*webtest.Person{alice, bob} {
		p.WaitFor(`document.querySelector("#messages .ours .mark svg").ariaLabel === "Received"`)
	}
}

func TestTabLeavesTheMessageBox(t *testing.T) {
	t.Parallel()
	alice, _ := inCall(t, newFakeServer(t))
	alice.Write("#text", "typed")
	alice.Press("Tab")
	alice.WaitFor(`document.activeElement.id === "send" && document.getElementById("text").value === "typed"`)
}

func TestMessagesSentAtOnceArriveInOrder(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	const n = 40 // more than one receipt confirms
	var texts strings.Builder
	for i := range n {
		fmt.Fprintf(&texts, "n%d\r", i+1)
	}
	alice.Write("#text", texts.String())
	bob.Write("#text", texts.String())
	for _, p := range []*webtest.Person{alice, bob} {
		p.WantHeard(fmt.Sprintf("n%d", n))
		if got := webtest.Eval[string](p, `[...document.querySelectorAll(".theirs .text")].findIndex((e, i) => e.textContent !== "n" + (i + 1)).toString()`); got != "-1" {
			t.Errorf("%s: got text %s out of order", p.Name, got)
		}
		p.WaitFor(fmt.Sprintf(`document.querySelectorAll(".mark .received").length === %d`, n))
	}
}

func TestTooLongTextIsRefusedBesideTheComposer(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	alice.Click("#text")
	alice.Insert(strings.Repeat("é", 8193))
	alice.Press("Enter")
	alice.WantText("#composer-error", "This message is too long: 16 KiB at most.")
	alice.Press("Backspace", "Enter")
	bob.WantHeard(strings.Repeat("é", 8192))
}

func TestSafetyCodesAreTheSame(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	var codes [2]string
	for i, p := range []*webtest.Person{alice, bob} {
		p.Click("#verify")
		p.WantVisible("#safety-code")
		codes[i] = strings.Join(strings.Fields(webtest.Eval[string](p, `document.getElementById("safety-code").textContent`)), " ")
		p.Click("#safety-close")
	}
	if codes[0] != codes[1] || len(codes[0]) != 35 {
		t.Errorf("got codes %q and %q, want the same 6 groups of 5 digits", codes[0], codes[1])
	}
}

// Whichever way the hang-up takes, the other side sees it.
func TestHangUpIsSeenByTheOther(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		hold []string
	}{
		{"both ways", nil},
		{"control channel alone", []string{"leave"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			alice, bob := inCall(t, s)
			s.hold(tt.hold...)
			alice.Click("#hangup")
			bob.WantText("#ended-text", "alice hung up.")
			alice.WantText("#ended-text", "You hung up.")
		})
	}
}

func TestClosingThePageHangsUp(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	alice.Reload()
	bob.WantText("#ended-text", "alice hung up.")
	alice.WantVisible("#signin")
}

func TestCallAgainKeepsTheConversation(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	alice.Say("before")
	bob.WantHeard("before")
	bob.Click("#hangup")
	alice.WantVisible("#again")
	alice.Click("#again")
	bob.WantText("#status", "Connected, direct")
	alice.WantText("#status", "Connected, direct")
	bob.Say("after")
	alice.WantHeard("after")
	if got := webtest.Eval[int](alice, `document.querySelectorAll(".message").length`); got != 2 {
		t.Errorf("got %d messages, want 2", got)
	}
}

func TestSecondCallerIsToldBusy(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	inCall(t, s)
	carol := signedIn(t, s, "carol")[0]
	carol.Click(`#people [data-name="bob"]`)
	carol.WantText("#ended-text", "bob is in another call.")
}

func TestCallToSomeoneWhoIsGone(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice := signedIn(t, s, "alice")[0]
	alice.Write("#find-name", "nobody\r")
	alice.WantText("#ended-text", "nobody is not here.")
	if got := len(s.sent("alice", "offer")); got != 1 {
		t.Errorf("got %d offers, want 1", got)
	}
}

// Calls that cross become one: the lesser id stays, or with equal ids the call of
// the lesser name.
func TestGlare(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		alice, bob int // the byte that their call ids are made of
		caller     string
	}{
		{"alice's id is the lesser", 0, 1, "alice"},
		{"bob's id is the lesser", 1, 0, "bob"},
		{"equal ids", 7, 7, "alice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			alice := newPerson(t, s, "alice", fmt.Sprintf(`crypto.getRandomValues = (bytes) => bytes.fill(%d);`, tt.alice))
			bob := newPerson(t, s, "bob", fmt.Sprintf(`crypto.getRandomValues = (bytes) => bytes.fill(%d);`, tt.bob))
			for _, p := range []*webtest.Person{alice, bob} {
				p.SignIn(p.Name + "-password")
				p.WantVisible("#app")
			}
			alice.WantPerson("bob")
			s.hold("offer")
			alice.Call(bob.Name)
			bob.Call(alice.Name)
			s.release(2)
			for _, p := range []*webtest.Person{alice, bob} {
				p.WantText("#status", "Connected, direct")
			}
			alice.Say("one call")
			bob.WantHeard("one call")
			callee := map[string]string{"alice": "bob", "bob": "alice"}[tt.caller]
			if got := len(s.sent(callee, "answer")); got != 1 || len(s.sent(tt.caller, "answer")) != 0 {
				t.Errorf("got %d answers of %s, want 1 and none of %s", got, callee, tt.caller)
			}
		})
	}
}

func TestCallerKeepsItsCandidatesUntilTheAnswer(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	people := signedIn(t, s, "alice", "bob")
	s.hold("answer")
	people[0].Call(people[1].Name)
	s.releaseAfter(1, func() {
		if got := len(s.sent("alice", "candidates")); got != 0 {
			t.Errorf("before the answer: got %d messages with candidates, want 0", got)
		}
	})
	people[0].WantText("#status", "Connected, direct")
	if got := s.sent("alice", "candidates"); len(got) == 0 {
		t.Error("after the answer: got no candidates")
	}
}

// Candidates that miss the other side end a call, unless that stands already.
func TestCandidatesForSomeoneWhoIsGone(t *testing.T) {
	t.Parallel()
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprintf("open %v", open), func(t *testing.T) {
			s := newFakeServer(t)
			people := signedIn(t, s, "alice", "bob")
			s.hold("candidates")
			people[0].Call(people[1].Name)
			if open {
				s.release(1)
				for _, p := range people {
					p.WantText("#status", "Connected, direct")
				}
			} else {
				<-s.held
			}
			m := append(s.sent("alice", "candidates"), s.sent("bob", "candidates")...)[0]
			from := people[0]
			if m["from"] == "bob" {
				from = people[1]
			}
			s.inject(from.Name, message{"type": "error", "code": "peer_offline", "ref": m["id"], "name": m["name"], "call": m["call"]})
			s.join("carol")
			from.WantPerson("carol") // which comes after the error
			switch {
			case open:
				from.WantText("#status", "Connected, direct")
			case from == people[0]:
				from.WantText("#ended-text", "bob is not here.")
			default: // it has not been shown the call
				from.WantText("#find-hint", "alice called, but no connection could be made.")
			}
		})
	}
}

func TestCallThatDoesNotConnectIsLeft(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.join("silent")
	alice := newPerson(t, s, "alice", hurried(30_000))
	alice.SignIn("alice-password")
	alice.Click(`#people [data-name="silent"]`)
	alice.WantText("#ended-text", "No connection could be made.")
	if got := s.sent("alice", "leave"); len(got) != 1 || got[0]["reason"] != "ice_timeout" {
		t.Errorf("got %v, want one leave with reason ice_timeout", got)
	}
}

func TestIceServersAreFreshForACall(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.iceExpires = 1 // long ago
	inCall(t, s)
	for _, name := range []string{"alice", "bob"} {
		if got := len(s.sent(name, "ice")); got != 1 {
			t.Errorf("%s asked for ICE servers %d times, want once", name, got)
		}
	}
}

func TestCallOutlivesTheServer(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	s.drop("alice", 4000)
	alice.WantText("#banner-text", "The server is restarting. Your call goes on without it.")
	alice.Say("still here")
	bob.WantHeard("still here")
	alice.Click("#signin-again")
	alice.WantVisible("#signin")
	bob.WantText("#ended-text", "alice hung up.")
}

func TestCloseCodesAreExplained(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice := newPerson(t, s, "alice")
	for code, want := range map[int]string{
		1001: "The server is restarting.",
		4501: "You were signed out by the server’s operator.",
		4502: "You signed in somewhere else.",
		4999: "The connection to the server was closed.",
	} {
		alice.SignIn("alice-password")
		alice.WantVisible("#app")
		s.drop("alice", code)
		alice.WantText("#signin-error", want)
	}
}
