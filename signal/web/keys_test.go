//go:build integration

package web

import (
	"fmt"
	"testing"

	"github.com/sigctl/sigctl/signal/web/webtest"
)

// eachBrowser runs a test with alice at the page in each browser; bob is in Chromium.
func eachBrowser(t *testing.T, test func(t *testing.T, s *fakeServer, alice, bob *webtest.Person)) {
	t.Parallel()
	for name, browser := range map[string]*webtest.Lazy{"Chromium": &chromium, "Firefox": &firefox} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFakeServer(t)
			bob := signedIn(t, s, "bob")[0]
			alice := browser.Person(t, "alice")
			alice.Navigate(s.URL)
			test(t, s, alice, bob)
		})
	}
}

// wantTabs presses a key, Tab or Shift+Tab, once for each element, which then must have the focus.
func wantTabs(p *webtest.Person, key string, selectors ...string) {
	p.T.Helper()
	for _, selector := range selectors {
		p.Press(key)
		p.WantFocus(selector)
	}
}

// Everything on the page can be done with the keyboard alone.
func TestKeyboard(t *testing.T) {
	eachBrowser(t, func(t *testing.T, s *fakeServer, alice, bob *webtest.Person) {
		alice.WantFocus("#name")
		alice.Type("alice")
		wantTabs(alice, "Tab", "#password")
		alice.Type("Wrong Password 1")
		wantTabs(alice, "Tab", "#room", "#signin-button")
		wantTabs(alice, "Shift+Tab", "#room")
		alice.Press("Enter")
		alice.WantText("#signin-error", "Wrong name or password.")
		alice.WantFocus("#password")
		alice.Type("alice-password") // replaces what was selected
		wantTabs(alice, "Tab", "#room", "#signin-button")
		alice.Press("Space")
		alice.WantFocus("#people-title")

		bob.WantPerson("alice")
		wantTabs(alice, "Tab", `[data-name="bob"]`)
		alice.Press("Enter")
		alice.WantFocus("#text")
		keyboardChat(alice, bob)
		keyboardVerify(alice)
		keyboardHangUp(alice, bob)
		keyboardFind(alice, bob)

		s.drop("alice", 1011)
		alice.WantVisible("#banner")
		wantTabs(alice, "Shift+Tab", "#log", "#hangup", "#verify", "#signin-again")
		alice.Press("Enter")
		alice.WantFocus("#password") // the name is kept
		alice.Type("alice-password\r")
		alice.WantFocus("#people-title")
		wantTabs(alice, "Shift+Tab", "#find-name", "#signout")
		alice.Press("Space")
		alice.WantFocus("#password")
	})
}

// keyboardChat writes in the message box, where the focus is at first and at last.
func keyboardChat(alice, bob *webtest.Person) {
	alice.T.Helper()
	alice.Press("Enter") // nothing to send
	alice.Type("Hello, Łódź & you: 100 % ")
	alice.Press("Shift+Enter")
	alice.Type("second line")
	alice.WaitFor(`document.getElementById("text").value === "Hello, Łódź & you: 100 % \nsecond line"`)
	alice.Press("Enter")
	bob.WantHeard("Hello, Łódź & you: 100 % \nsecond line")
	alice.WaitFor(`document.getElementById("text").value === "" && document.querySelectorAll(".ours").length === 1`)
	alice.WantFocus("#text")
	for _, key := range []string{"Enter", "Space"} {
		alice.Type("sent with " + key)
		wantTabs(alice, "Tab", "#send")
		alice.Press(key)
		bob.WantHeard("sent with " + key)
		alice.WantFocus("#text")
	}
	bob.Say("here I am")
	alice.WantHeard("here I am")
}

// keyboardVerify opens and closes the dialog from the message box.
func keyboardVerify(alice *webtest.Person) {
	alice.T.Helper()
	wantTabs(alice, "Shift+Tab", "#log", "#hangup", "#verify")
	for _, keys := range [][2]string{{"Enter", "Escape"}, {"Space", "Enter"}, {"Enter", "Space"}} {
		alice.Press(keys[0])
		alice.WantFocus("#safety[open] #safety-close")
		alice.Press(keys[1])
		alice.WaitFor(`!document.getElementById("safety").open`)
		alice.WantFocus("#verify")
	}
}

// keyboardHangUp hangs up, calls again, and closes the call after the other has hung up.
func keyboardHangUp(alice, bob *webtest.Person) {
	alice.T.Helper()
	wantTabs(alice, "Tab", "#hangup")
	alice.Press("Enter")
	alice.WantEnded("You hung up.")
	bob.WantEnded("alice hung up.")
	alice.WantFocus("#again")
	alice.Press("Enter")
	alice.WantFocus("#text")
	alice.Type("again\r")
	bob.WantHeard("again")
	bob.Click("#hangup")
	alice.WantEnded("bob hung up.")
	alice.WantFocus("#again")
	wantTabs(alice, "Shift+Tab", "#close")
	alice.Press("Space")
	alice.WantFocus("#people-title")
}

// keyboardFind finds people by their name, and calls bob at last.
func keyboardFind(alice, bob *webtest.Person) {
	alice.T.Helper()
	wantTabs(alice, "Shift+Tab", "#find-name")
	alice.Type("Nobody\r")
	alice.WantEnded("Nobody is not here.")
	alice.WantFocus("#peer")
	wantTabs(alice, "Tab", "#log", "#close")
	alice.Press("Enter")
	wantTabs(alice, "Shift+Tab", "#find-name")
	alice.Type("no name\r")
	alice.WantText("#find-hint", "A name has letters, digits and . _ @ + - only.")
	alice.Press("Control+a", "Backspace")
	alice.Type("BO")
	wantTabs(alice, "Tab", `[data-name="bob"]`)
	wantTabs(alice, "Shift+Tab", "#find-name")
	alice.Press("End", "Backspace", "Backspace")
	alice.Type("bob\r")
	alice.WantFocus("#text")
	alice.Type("found you\r")
	bob.WantHeard("found you")
}

// Everything can be done with a pointer, and a keyboard for what is written, on a wide
// screen and on a phone.
func TestPointer(t *testing.T) {
	eachBrowser(t, func(t *testing.T, s *fakeServer, alice, bob *webtest.Person) {
		for field, text := range map[string]string{"#password": "alice-password", "#room": "lobby", "#name": "alice"} {
			alice.Click(field)
			alice.Type(text)
		}
		alice.Click("#signin-button")
		alice.WantVisible("#app")
		for _, phone := range []bool{false, true} {
			alice.Resize(phone)
			pointerCall(alice, bob, phone)
		}
		alice.Click("#find-name")
		alice.Type("bob\r")
		alice.WantText("#status", "Connected, direct")
		s.drop("alice", 1011)
		alice.Click("#signin-again")
		alice.Click("#password")
		alice.Type("alice-password")
		alice.Click("#signin-button")
		alice.Click("#signout")
		alice.WantVisible("#signin")
	})
}

// pointerCall makes a call and another, and leaves it.
func pointerCall(alice, bob *webtest.Person, phone bool) {
	alice.T.Helper()
	leave := "#close"
	if phone {
		leave = "#back"
	}
	alice.Click(`[data-name="bob"]`)
	alice.WantText("#status", "Connected, direct")
	alice.Click("#text")
	alice.Type("by hand")
	alice.Click("#send")
	bob.WantHeard("by hand")
	alice.WaitFor(`document.querySelector(".ours:last-of-type .received")`)
	alice.SafetyCode()
	alice.Click("#text")
	alice.Type("never sent")
	shot := fmt.Sprintf("%s-phone-%t", alice.T.Name()[len("TestPointer/"):], phone)
	picture(alice, shot+"-call")
	alice.Click("#hangup")
	bob.WantEnded("alice hung up.")
	picture(alice, shot+"-ended")
	alice.Click("#again")
	bob.WantText("#status", "Connected, direct")
	alice.Click("#hangup")
	alice.Click(leave)
	alice.WantVisible("#people-title")
}
