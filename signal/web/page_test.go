//go:build integration

package web

import (
	"fmt"
	"strings"
	"testing"
)

func TestSignInFailureIsSaidBesideTheForm(t *testing.T) {
	for _, tt := range []struct{ name, password, room, want, focus string }{
		{"alice", "wrong", "", "Wrong name or password.", "password"},
		{"taken", "taken-password", "", "This name is already in use. Sign out there first.", "password"},
		{"hasty", "any", "", "Too many attempts. Try again in 8 s.", "password"},
		{"alice", "alice-password", "vault", "You are not allowed to join the room vault.", "room"},
		{"alice", "alice-password", "full", "The room full is full, or the server is busy. Try again in 10 s.", "password"},
		{"alice", "alice-password", "room/7", "A room’s name has letters, digits and . _ @ + - only.", "room"},
	} {
		t.Run(tt.name+" "+tt.room, func(t *testing.T) {
			s := newFakeServer(t)
			s.join("taken")
			p := newPerson(t, s, tt.name)
			p.signInTo(tt.room, tt.password)
			p.wantText("signin-error", tt.want)
			if got := eval[string](p, `document.activeElement.id`); got != tt.focus {
				t.Errorf("got the focus on %q, want it on %q", got, tt.focus)
			}
		})
	}
}

func TestSignInSaysThatTheServerIsGone(t *testing.T) {
	s := newFakeServer(t)
	p := newPerson(t, s, "alice")
	s.Close()
	p.signIn("alice-password")
	p.wantText("signin-error", "The server cannot be reached. Check your connection and try again.")
}

func TestPeopleComeAndGo(t *testing.T) {
	s := newFakeServer(t)
	alice := signedIn(t, s, "alice")[0]
	alice.wantVisible("people-empty")
	bob := signedIn(t, s, "bob")[0]
	alice.wantPerson("bob")
	bob.wantPerson("alice")
	bob.click("#signout")
	bob.wantVisible("signin")
	alice.wantVisible("people-empty")
}

func TestTwoPagesChatBothWays(t *testing.T) {
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	alice.say("hello")
	bob.wantHeard("hello")
	bob.say("<b>hi</b> — שלום")
	alice.wantHeard("<b>hi</b> — שלום")
	for _, p := range []*person{alice, bob} {
		p.waitFor(`document.querySelector("#messages .ours .mark svg").ariaLabel === "Received"`)
	}
}

func TestTabLeavesTheMessageBox(t *testing.T) {
	alice, _ := inCall(t, newFakeServer(t))
	alice.write("#text", "typed\t")
	alice.waitFor(`document.activeElement.id === "send" && document.getElementById("text").value === "typed"`)
}

func TestMessagesSentAtOnceArriveInOrder(t *testing.T) {
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	send := `for (let i = 1; i <= 200; i++) {
		document.getElementById("text").value = "n" + i;
		document.getElementById("composer").requestSubmit();
	} true`
	eval[bool](alice, send)
	eval[bool](bob, send)
	for _, p := range []*person{alice, bob} {
		p.wantHeard("n200")
		if got := eval[string](p, `[...document.querySelectorAll(".theirs .text")].findIndex((e, i) => e.textContent !== "n" + (i + 1)).toString()`); got != "-1" {
			t.Errorf("%s: got text %s out of order", p.name, got)
		}
		p.waitFor(`document.querySelectorAll(".mark .received").length === 200`)
	}
}

func TestTooLongTextIsRefusedBesideTheComposer(t *testing.T) {
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	eval[bool](alice, `document.getElementById("text").value = "é".repeat(8193); document.getElementById("composer").requestSubmit(); true`)
	alice.wantText("composer-error", "This message is too long: 16 KiB at most.")
	eval[bool](alice, `document.getElementById("text").value = "é".repeat(8192); document.getElementById("composer").requestSubmit(); true`)
	bob.wantHeard(strings.Repeat("é", 8192))
}

func TestSafetyCodesAreTheSame(t *testing.T) {
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	var codes [2]string
	for i, p := range []*person{alice, bob} {
		p.click("#verify")
		p.wantVisible("safety-code")
		codes[i] = strings.Join(strings.Fields(eval[string](p, `document.getElementById("safety-code").textContent`)), " ")
		p.click("#safety-close")
	}
	if codes[0] != codes[1] || len(codes[0]) != 35 {
		t.Errorf("got codes %q and %q, want the same 6 groups of 5 digits", codes[0], codes[1])
	}
}

// Whichever way the hang-up takes, the other side sees it.
func TestHangUpIsSeenByTheOther(t *testing.T) {
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
			alice.click("#hangup")
			bob.wantText("ended-text", "alice hung up.")
			alice.wantText("ended-text", "You hung up.")
		})
	}
}

func TestClosingThePageHangsUp(t *testing.T) {
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	eval[bool](alice, `location.reload(), true`)
	bob.wantText("ended-text", "alice hung up.")
	alice.wantVisible("signin")
}

func TestCallAgainKeepsTheConversation(t *testing.T) {
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	alice.say("before")
	bob.wantHeard("before")
	bob.click("#hangup")
	alice.wantVisible("again")
	alice.click("#again")
	bob.wantText("status", "Connected, direct")
	alice.wantText("status", "Connected, direct")
	bob.say("after")
	alice.wantHeard("after")
	if got := eval[int](alice, `document.querySelectorAll(".message").length`); got != 2 {
		t.Errorf("got %d messages, want 2", got)
	}
}

func TestSecondCallerIsToldBusy(t *testing.T) {
	s := newFakeServer(t)
	inCall(t, s)
	carol := signedIn(t, s, "carol")[0]
	carol.click(`#people [data-name="bob"]`)
	carol.wantText("ended-text", "bob is in another call.")
}

func TestCallToSomeoneWhoIsGone(t *testing.T) {
	s := newFakeServer(t)
	alice := signedIn(t, s, "alice")[0]
	alice.write("#find-name", "nobody\r")
	alice.wantText("ended-text", "nobody is not here.")
	if got := len(s.sent("alice", "offer")); got != 1 {
		t.Errorf("got %d offers, want 1", got)
	}
}

// Calls that cross become one: the lesser id stays, or with equal ids the call of
// the lesser name.
func TestGlare(t *testing.T) {
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
			for _, p := range []*person{alice, bob} {
				p.signIn(p.name + "-password")
				p.wantVisible("app")
			}
			alice.wantPerson("bob")
			s.hold("offer")
			alice.call(bob)
			bob.call(alice)
			s.release(2)
			for _, p := range []*person{alice, bob} {
				p.wantText("status", "Connected, direct")
			}
			alice.say("one call")
			bob.wantHeard("one call")
			callee := map[string]string{"alice": "bob", "bob": "alice"}[tt.caller]
			if got := len(s.sent(callee, "answer")); got != 1 || len(s.sent(tt.caller, "answer")) != 0 {
				t.Errorf("got %d answers of %s, want 1 and none of %s", got, callee, tt.caller)
			}
		})
	}
}

func TestCallerKeepsItsCandidatesUntilTheAnswer(t *testing.T) {
	s := newFakeServer(t)
	people := signedIn(t, s, "alice", "bob")
	s.hold("answer")
	people[0].call(people[1])
	people[1].wantText("status", "Connecting…")
	s.releaseAfter(1, func() {
		if got := len(s.sent("alice", "candidates")); got != 0 {
			t.Errorf("before the answer: got %d messages with candidates, want 0", got)
		}
	})
	people[0].wantText("status", "Connected, direct")
	if got := s.sent("alice", "candidates"); len(got) == 0 {
		t.Error("after the answer: got no candidates")
	}
}

// Candidates that miss the other side end a call, unless that stands already.
func TestCandidatesForSomeoneWhoIsGone(t *testing.T) {
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprintf("open %v", open), func(t *testing.T) {
			s := newFakeServer(t)
			people := signedIn(t, s, "alice", "bob")
			s.hold("candidates")
			people[0].call(people[1])
			if open {
				s.release(1)
				for _, p := range people {
					p.wantText("status", "Connected, direct")
				}
			} else {
				<-s.held
			}
			m := append(s.sent("alice", "candidates"), s.sent("bob", "candidates")...)[0]
			from := people[0]
			if m["from"] == "bob" {
				from = people[1]
			}
			s.inject(from.name, message{"type": "error", "code": "peer_offline", "ref": m["id"], "name": m["name"], "call": m["call"]})
			s.join("carol")
			from.wantPerson("carol") // which comes after the error
			if open {
				from.wantText("status", "Connected, direct")
			} else {
				from.wantText("ended-text", str(m["name"])+" is not here.")
			}
		})
	}
}

func TestCallThatDoesNotConnectIsLeft(t *testing.T) {
	s := newFakeServer(t)
	s.join("silent")
	alice := newPerson(t, s, "alice", `
		const wait = setTimeout;
		window.setTimeout = (then, ms, ...rest) => wait(then, ms === 30_000 ? 100 : ms, ...rest);`)
	alice.signIn("alice-password")
	alice.click(`#people [data-name="silent"]`)
	alice.wantText("ended-text", "No connection could be made.")
	if got := s.sent("alice", "leave"); len(got) != 1 || got[0]["reason"] != "ice_timeout" {
		t.Errorf("got %v, want one leave with reason ice_timeout", got)
	}
}

func TestIceServersAreFreshForACall(t *testing.T) {
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
	s := newFakeServer(t)
	alice, bob := inCall(t, s)
	s.drop("alice", 4000)
	alice.wantText("banner-text", "The server is restarting. Your call goes on without it.")
	alice.say("still here")
	bob.wantHeard("still here")
	alice.click("#signin-again")
	alice.wantVisible("signin")
	bob.wantText("ended-text", "alice hung up.")
}

func TestCloseCodesAreExplained(t *testing.T) {
	for code, want := range map[int]string{
		1001: "The server is restarting.",
		4501: "You were signed out by the server’s operator.",
		4502: "You signed in somewhere else.",
		4999: "The connection to the server was closed.",
	} {
		s := newFakeServer(t)
		alice := signedIn(t, s, "alice")[0]
		s.drop("alice", code)
		alice.wantText("signin-error", want)
	}
}
