package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"github.com/muesli/termenv"
)

// testScreen is a screen of user1 that a test types into and looks at.
type testScreen struct {
	t     *testing.T
	model *screen
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
func (f *fakeCalls) Call(name string) bool { return f.note("call " + name) }
func (f *fakeCalls) Say(call uint64, text string) error {
	if !f.note(fmt.Sprintf("say %d %s", call, text)) {
		return errSlow
	}
	return nil
}
func (f *fakeCalls) Hangup(_ context.Context, call uint64) { f.note(fmt.Sprint("hangup ", call)) }
func (f *fakeCalls) Peers(context.Context)                 { f.note("peers") }
func (f *fakeCalls) Stats() []string                       { return []string{"path direct"} }

func newTestScreen(t *testing.T, width, height int, profile termenv.Profile) *testScreen {
	renderer := lipgloss.NewRenderer(io.Discard, termenv.WithProfile(profile))
	calls := &fakeCalls{}
	s := newScreen("user1", "lobby", "wss://example.com:9090", calls, renderer)
	s.now = func() time.Time { return time.Date(2026, 1, 2, 12, 34, 0, 0, time.UTC) }
	ts := &testScreen{t, s, calls}
	ts.send(resized{width, height})
	return ts
}

// send gives the screen messages, and does what it wants done.
func (ts *testScreen) send(msgs ...any) {
	for _, msg := range msgs {
		if effect := ts.model.update(msg); effect != nil {
			effect(ts.t.Context())
		}
	}
}

// enter types a line.
func (ts *testScreen) enter(line string) { ts.send(typed(line), press(keyEnter)) }

func typed(text string) keyPress { return keyPress{kind: keyText, text: text} }
func press(k keyKind) keyPress   { return keyPress{kind: k} }

func (ts *testScreen) wantShown(parts ...string) {
	ts.t.Helper()
	for _, part := range parts {
		if view := ansi.Strip(ts.model.view()); !strings.Contains(view, part) {
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
	lines := strings.Split(ts.model.view(), "\n")
	if len(lines) != height {
		ts.t.Errorf("%d rows, want %d:\n%s", len(lines), height, ts.model.view())
	}
	for _, line := range lines {
		if got := ansi.StringWidth(line); got > width {
			ts.t.Errorf("a row is %d columns wide, want at most %d: %q", got, width, line)
		}
	}
}

const testCode = "11111 22222 33333 44444 55555 66666"

var inCall = connected{Peer: "user2", Path: "direct", Pair: "host to host", Safety: testCode, Receipts: true, call: 7}

func TestScreenConversation(t *testing.T) {
	ts := newTestScreen(t, 80, 24, termenv.Ascii)
	ts.wantShown("user1 @ example.com:9090", "0 others here", "not in a call")
	ts.send(present{Peers: []string{"user2"}})
	ts.wantShown("1 other here", "/call user2")
	ts.enter("hello?")
	ts.wantShown("You are not in a call", "› hello?") // what was typed stays
	ts.send(press(keyCutBefore))
	ts.enter("/call user2")
	ts.wantAsked("call user2")
	ts.send(calling{Peer: "user2"})
	ts.wantShown("calling user2")
	ts.send(inCall)
	ts.wantShown("● user2  direct", testCode, "message to user2")
	ts.enter("hello")
	ts.wantAsked("say 7 hello")
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
	ts.wantAsked("hangup 7", "peers")
	ts.send(present{Peers: []string{"user2"}})
	ts.wantShown("Here: user2, user1 (you)")
	ts.calls.deaf = true
	ts.enter("too fast")
	ts.wantShown("the other side is slow", "› too fast")
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
			ts.send(typed(wide))
			ts.wantFits(size[0], size[1])
			ts.send(press(keyHome), press(keyPageUp))
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
	ts.send(typed(evil))
	view := ts.model.view()
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
	ts.send(press(keyPageUp))
	ts.wantShown("↓ more")
	before := ts.model.view()
	ts.send(message{From: "user2", Text: "new"})
	if ts.model.view() != before {
		t.Error("a new text moves a screen that was scrolled up")
	}
	for range 20 {
		ts.send(press(keyPageUp))
	}
	ts.wantShown("line 0.")
	for range 20 {
		ts.send(press(keyPageDown))
	}
	ts.wantShown("new")
	for range maxEntries {
		ts.send(message{From: "user2", Text: "x"})
	}
	if got := len(ts.model.entries); got > maxEntries {
		t.Errorf("%d entries are kept, want at most %d", got, maxEntries)
	}
}

func TestTypedLine(t *testing.T) {
	for _, c := range []struct {
		name string
		keys []keyKind
		want string
	}{
		{"backspace", []keyKind{keyBackspace}, "one tw"},
		{"delete at the end", []keyKind{keyDelete}, "one two"},
		{"delete", []keyKind{keyHome, keyDelete}, "ne two"},
		{"left, backspace", []keyKind{keyLeft, keyBackspace}, "one to"},
		{"to the start", []keyKind{keyLeft, keyCutBefore}, "o"},
		{"to the end", []keyKind{keyHome, keyRight, keyCutAfter}, "o"},
		{"word", []keyKind{keyCutWord}, "one "},
		{"two words", []keyKind{keyCutWord, keyCutWord}, ""},
		{"beyond both ends", []keyKind{keyRight, keyHome, keyLeft, keyBackspace, keyEnd}, "one two"},
	} {
		var l typedLine
		l.insert("one two")
		for _, k := range c.keys {
			l.key(press(k))
		}
		if got := l.String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	var l typedLine
	l.insert(strings.Repeat("漢", 2*maxTyped))
	if got := len(l.String()); checkText(l.String()) != nil {
		t.Errorf("a line of %d bytes can be typed, but not sent", got)
	}
}

func TestDecodeKey(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []keyPress
		rest string
	}{
		{"hé\r", []keyPress{typed("hé"), press(keyEnter)}, ""},
		{"\x1b[A\x1bOB\x1b[5~\x1b[3~", []keyPress{press(keyUp), press(keyDown), press(keyPageUp), press(keyDelete)}, ""},
		{"\x1b[1;5C\x1bx", []keyPress{press(keyNone), press(keyNone)}, ""},
		{"\x1b[200~two\nlines\x1b[A\x1b[201~!", []keyPress{typed("two\nlines\x1b[A"), typed("!")}, ""},
		{"\x03\x04\x7f\x00", []keyPress{press(keyInterrupt), press(keyEOF), press(keyBackspace), press(keyNone)}, ""},
		{"a\xc3", []keyPress{typed("a")}, "\xc3"}, // half a character
		{"\x1b", nil, "\x1b"},
		{"\x1b[12", nil, "\x1b[12"},
		{"\x1b[200~half", nil, "\x1b[200~half"},
	} {
		var got []keyPress
		rest := []byte(c.in)
		for {
			k, n := decodeKey(rest)
			if n == 0 {
				break
			}
			got, rest = append(got, k), rest[n:]
		}
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(keyPress{})); diff != "" || string(rest) != c.rest {
			t.Errorf("%q leaves %q, want %q (-want +got):\n%s", c.in, rest, c.rest, diff)
		}
	}
}

// Whatever a terminal sends, keys are taken from it until none is left, and no
// more is kept than a paste may be long.
func FuzzDecodeKey(f *testing.F) {
	for _, seed := range []string{"a", "\x1b[A", "\x1b[200~x\x1b[201~", "\xff\xc3", "\x1b[" + strings.Repeat("1", 40)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			_, n := decodeKey(b)
			if n < 0 || n > len(b) {
				t.Fatalf("took %d of %d bytes", n, len(b))
			}
			if n == 0 {
				if len(b) > maxPaste {
					t.Fatalf("%d bytes wait for more", len(b))
				}
				return
			}
			b = b[n:]
		}
	})
}

// Terminals send the line ends of a paste as Enter does.
func TestPasteOfManyLines(t *testing.T) {
	var l typedLine
	l.key(keyPress{kind: keyText, text: "one\rtwo\r\nthree\nfour"})
	if got, want := l.String(), "one two three four"; got != want {
		t.Errorf("typed %q, want %q", got, want)
	}
}

// A row as wide as the terminal leaves the cursor on its last character, which an
// erasure would take away.
func TestDrawErasesNothingDrawn(t *testing.T) {
	var out bytes.Buffer
	s := newTestScreen(t, 80, 24, termenv.Ascii)
	(&terminal{out: &out}).draw(s.model)
	for i, row := range strings.Split(out.String(), "\n") {
		if strings.Contains(row, "─\x1b[") {
			t.Errorf("row %d is erased after it was drawn: %q", i, row)
		}
	}
}

// What is too long for one piece of a paste is still pasted, not typed: no line of
// it is sent.
func TestPasteOfMuch(t *testing.T) {
	paste := strings.Repeat("a line\r", maxPaste)
	keys, got := make(chan keyPress), ""
	go readKeys(t.Context(), strings.NewReader("\x1b[200~"+paste+"\x1b[201~x"), keys)
	for k := range keys {
		if k.kind != keyText {
			t.Fatalf("key %d after %d bytes", k.kind, len(got))
		}
		got += k.text
	}
	if want := paste + "x"; got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}
