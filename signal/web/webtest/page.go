//go:build integration

package webtest

import (
	"fmt"
	"strings"
)

// SignIn signs in with the form, to the room that it names.
func (p *Person) SignIn(password string) {
	p.T.Helper()
	p.fillIn(p.Name, password)
	p.Press("Enter")
}

// SignInTo signs in to a room.
func (p *Person) SignInTo(room, password string) {
	p.T.Helper()
	p.fillIn(p.Name, password, room)
	p.Press("Enter")
}

// fillIn fills the form in, from the top.
func (p *Person) fillIn(values ...string) {
	p.T.Helper()
	p.Click("#name")
	var strokes []stroke
	for i, value := range values {
		if i > 0 {
			strokes = append(strokes, chord("Tab")...)
		}
		strokes = append(append(strokes, chord("Control+a")...), chord("Delete")...)
		strokes = append(strokes, typing(value)...)
	}
	p.press(strokes)
}

func row(name string) string { return fmt.Sprintf(`#people [data-name=%q]`, name) }

// WantPerson waits until name is among the people who can be called.
func (p *Person) WantPerson(name string) {
	p.T.Helper()
	p.WaitFor(fmt.Sprintf(`document.querySelector(%s) !== null`, Quote(row(name))))
}

// Call calls somebody who is here, or will be.
func (p *Person) Call(name string) {
	p.T.Helper()
	p.Click(row(name))
}

// Say writes a text and sends it.
func (p *Person) Say(text string) {
	p.T.Helper()
	p.Write("#text", text+"\r")
}

// WantHeard waits until the last text of the other side is this one.
func (p *Person) WantHeard(text string) {
	p.T.Helper()
	p.WaitFor(fmt.Sprintf(`[...document.querySelectorAll("#messages .theirs .text")].at(-1).textContent === %s`, Quote(text)))
}

// WantEnded waits until the page says why the call has ended.
func (p *Person) WantEnded(text string) {
	p.T.Helper()
	p.WantVisible("#ended")
	p.WantText("#ended-text", text)
}

// SafetyCode looks the call's safety code up: six groups of digits.
func (p *Person) SafetyCode() string {
	p.T.Helper()
	p.Click("#verify")
	p.WantVisible("#safety-code")
	code := Eval[string](p, `document.getElementById("safety-code").textContent`)
	p.Click("#safety-close")
	return strings.Join(strings.Fields(code), " ")
}
