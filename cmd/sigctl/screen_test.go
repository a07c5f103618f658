package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"github.com/muesli/termenv"
)

// testScreen is a screen of user1 that a test types into and looks at.
type testScreen struct {
	t     *testing.T
	model tea.Model
	calls *fakeCalls
}

// fakeCalls notes what the screen asked for.
type fakeCalls struct {
	asked []string
	deaf  bool // Call and Say refuse
}

func (f *fakeCalls) note(what string) bool {
	f.asked = append(f.asked, what)
	return !f.deaf
}
func (f *fakeCalls) Call(name string) bool  { return f.note("call " + name) }
func (f *fakeCalls) Say(text string) bool   { return f.note("say " + text) }
func (f *fakeCalls) Hangup(context.Context) { f.note("hangup") }
func (f *fakeCalls) Peers(context.Context)  { f.note("peers") }
func (f *fakeCalls) Stats() []string        { return []string{"path direct"} }

func newTestScreen(t *testing.T, width, height int, profile termenv.Profile) *testScreen {
	renderer := lipgloss.NewRenderer(io.Discard, termenv.WithProfile(profile))
	calls := &fakeCalls{}
	s := newScreen("user1", "wss://example.com:9090", calls, renderer)
	s.now = func() time.Time { return time.Date(2026, 1, 2, 12, 34, 0, 0, time.UTC) }
	ts := &testScreen{t, s, calls}
	ts.send(tea.WindowSizeMsg{Width: width, Height: height})
	return ts
}

// send gives the screen messages, and runs the commands that it returns.
func (ts *testScreen) send(msgs ...tea.Msg) {
	for _, msg := range msgs {
		var cmd tea.Cmd
		ts.model, cmd = ts.model.Update(msg)
		if cmd != nil {
			cmd()
		}
	}
}

// enter types a line.
func (ts *testScreen) enter(line string) {
	ts.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(line)}, tea.KeyMsg{Type: tea.KeyEnter})
}

func (ts *testScreen) wantShown(parts ...string) {
	ts.t.Helper()
	for _, part := range parts {
		if view := ansi.Strip(ts.model.View()); !strings.Contains(view, part) {
			ts.t.Errorf("the screen does not show %q:\n%s", part, view)
		}
	}
}

// wantAsked checks what the screen asked for since the last time.
func (ts *testScreen) wantAsked(want ...string) {
	ts.t.Helper()
	if diff := cmp.Diff(want, ts.calls.asked); diff != "" {
		ts.t.Errorf("asked for (-want +got):\n%s", diff)
	}
	ts.calls.asked = nil
}

// wantFits checks that the screen is as large as the terminal.
func (ts *testScreen) wantFits(width, height int) {
	ts.t.Helper()
	lines := strings.Split(ts.model.View(), "\n")
	if len(lines) != height {
		ts.t.Errorf("%d rows, want %d:\n%s", len(lines), height, ts.model.View())
	}
	for _, line := range lines {
		if got := ansi.StringWidth(line); got > width {
			ts.t.Errorf("a row is %d columns wide, want at most %d: %q", got, width, line)
		}
	}
}

const testCode = "11111 22222 33333 44444 55555 66666"

var inCall = connected{Peer: "user2", Path: "direct", Pair: "host to host", Safety: testCode, Receipts: true}

func TestScreenConversation(t *testing.T) {
	ts := newTestScreen(t, 80, 24, termenv.Ascii)
	ts.wantShown("user1 @ example.com:9090", "0 others here", "not in a call")
	ts.send(present{Peers: []string{"user2"}})
	ts.wantShown("1 other here", "/call user2")
	ts.enter("hello?")
	ts.wantShown("You are not in a call", "› hello?") // what was typed stays
	ts.send(tea.KeyMsg{Type: tea.KeyCtrlU})
	ts.enter("/call user2")
	ts.wantAsked("call user2")
	ts.send(calling{Peer: "user2"})
	ts.wantShown("calling user2")
	ts.send(inCall)
	ts.wantShown("● user2  direct", testCode, "message to user2")
	ts.enter("hello")
	ts.wantAsked("say hello")
	ts.send(sent{N: 1, Text: "hello"})
	ts.wantShown("12:34 user1 hello ·")
	ts.send(delivered{N: 1}, message{From: "user2", Text: "hi\nthere"})
	ts.wantShown("12:34 user1 hello ✓", "12:34 user2 hi", "            there")
	ts.send(sent{N: 2, Text: "lost"}, ended{Peer: "user2", Reason: "the other side hung up", Undelivered: 1})
	ts.wantShown("hello ✓", "lost ✗", "Call with user2 ended: the other side hung up.", "○ not in a call")
	ts.send(presence{Peer: "user2", Here: false})
	ts.wantShown("0 others here")
}

func TestScreenCommands(t *testing.T) {
	ts := newTestScreen(t, 80, 24, termenv.Ascii)
	for _, c := range []struct{ typed, shown string }{
		{"/help", "/verify     the safety code"},
		{"/bogus", "There is no /bogus"},
		{"/call", "Say whom"},
		{"/call user1", "Nobody can call themselves"},
		{"/hangup", "You are not in a call."},
		{"/verify", "You are not in a call."},
		{"/stats", "path direct"},
	} {
		ts.enter(c.typed)
		ts.wantShown(c.shown)
	}
	ts.wantAsked()
	ts.send(inCall)
	ts.enter("/verify")
	ts.wantShown("Read it to each other")
	ts.enter("/call user3")
	ts.wantShown("/hangup ends it")
	ts.enter("/hangup")
	ts.enter("/peers")
	ts.wantAsked("hangup", "peers")
	ts.send(present{Peers: []string{"user2"}})
	ts.wantShown("Here: user2, user1 (you)")
	ts.calls.deaf = true
	ts.enter("too fast")
	ts.wantShown("The other side is slow", "› too fast")
	ts.send(serverLost{errors.New("connection lost")})
	ts.wantShown("server lost", "/quit ends the chat")
}

func TestScreenFits(t *testing.T) {
	long := strings.Repeat("word ", 100)
	wide := strings.Repeat("漢字", 60)
	for _, size := range [][2]int{{80, 24}, {40, 20}, {200, 50}, {60, 24}, {20, 10}} {
		for _, profile := range []termenv.Profile{termenv.Ascii, termenv.ANSI256} {
			ts := newTestScreen(t, size[0], size[1], profile)
			ts.wantFits(size[0], size[1])
			ts.send(present{Peers: []string{strings.Repeat("n", 64)}}, inCall)
			for n := range 30 {
				ts.send(sent{N: n + 1, Text: long}, message{From: strings.Repeat("x", 64), Text: wide})
			}
			ts.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(wide)})
			ts.wantFits(size[0], size[1])
			ts.send(tea.KeyMsg{Type: tea.KeyHome}, tea.KeyMsg{Type: tea.KeyPgUp})
			ts.wantFits(size[0], size[1])
		}
	}
}

// A peer's text reaches the screen only as text: no escape sequence, no control
// character, nothing that reorders what is around it.
func TestScreenKeepsEscapesOut(t *testing.T) {
	const evil = "\x1b[2Jred\x1b]0;title\x07 \u202eover \u009b31m\rover\u2028write"
	ts := newTestScreen(t, 80, 24, termenv.Ascii)
	c := inCall
	c.Peer = "user2"
	ts.send(c, message{From: "user2", Text: evil}, sent{N: 1, Text: evil},
		ended{Peer: "user2", Reason: evil}, serverLost{errors.New(evil)})
	ts.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(evil), Paste: true})
	view := ts.model.View()
	for _, r := range view {
		if r != '\n' && r != '\ufffd' && unprintable(r) {
			t.Errorf("the screen has %U:\n%q", r, view)
		}
	}
	ts.wantShown("red")
}

func TestScreenScrolls(t *testing.T) {
	ts := newTestScreen(t, 80, 24, termenv.Ascii)
	ts.send(inCall)
	for n := range 100 {
		ts.send(message{From: "user2", Text: fmt.Sprintf("line %d.", n)})
	}
	ts.wantShown("line 99.")
	ts.send(tea.KeyMsg{Type: tea.KeyPgUp})
	ts.wantShown("↓ more")
	before := ts.model.View()
	ts.send(message{From: "user2", Text: "new"})
	if ts.model.View() != before {
		t.Error("a new text moves a screen that was scrolled up")
	}
	for range 20 {
		ts.send(tea.KeyMsg{Type: tea.KeyPgUp})
	}
	ts.wantShown("line 0.")
	for range 20 {
		ts.send(tea.KeyMsg{Type: tea.KeyPgDown})
	}
	ts.wantShown("new")
	for range maxEntries {
		ts.send(message{From: "user2", Text: "x"})
	}
	if got := len(ts.model.(screen).entries); got > maxEntries {
		t.Errorf("%d entries are kept, want at most %d", got, maxEntries)
	}
}

func TestTypedLine(t *testing.T) {
	keys := func(types ...tea.KeyType) (msgs []tea.KeyMsg) {
		for _, k := range types {
			msgs = append(msgs, tea.KeyMsg{Type: k})
		}
		return msgs
	}
	for _, c := range []struct {
		name string
		keys []tea.KeyMsg
		want string
	}{
		{"backspace", keys(tea.KeyBackspace), "one tw"},
		{"delete at the end", keys(tea.KeyDelete), "one two"},
		{"delete", keys(tea.KeyHome, tea.KeyDelete), "ne two"},
		{"left, backspace", keys(tea.KeyLeft, tea.KeyBackspace), "one to"},
		{"to the start", keys(tea.KeyLeft, tea.KeyCtrlU), "o"},
		{"to the end", keys(tea.KeyHome, tea.KeyRight, tea.KeyCtrlK), "o"},
		{"word", keys(tea.KeyCtrlW), "one "},
		{"two words", keys(tea.KeyCtrlW, tea.KeyCtrlW), ""},
		{"beyond both ends", keys(tea.KeyRight, tea.KeyHome, tea.KeyLeft, tea.KeyBackspace, tea.KeyEnd), "one two"},
	} {
		var l typedLine
		l.insert([]rune("one two"))
		for _, k := range c.keys {
			l.key(k)
		}
		if got := l.String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	var l typedLine
	l.insert(slices.Repeat([]rune("漢"), 2*maxTyped))
	if got := len(l.String()); checkText(l.String()) != nil {
		t.Errorf("a line of %d bytes can be typed, but not sent", got)
	}
}
