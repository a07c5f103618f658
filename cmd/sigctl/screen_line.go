package main

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
)

// typedLine is a line being typed, with the usual keys of a shell.
type typedLine struct {
	text []rune
	at   int // of the cursor, 0 to len(text)
}

func (l *typedLine) String() string { return string(l.text) }

func (l *typedLine) reset() { *l = typedLine{} }

// key edits the line. Only printable text gets into it, as one line of at most
// maxTyped characters.
func (l *typedLine) key(k keyPress) {
	switch k.kind {
	case keyText:
		l.insert(k.text)
	case keyBackspace:
		l.remove(l.at-1, l.at)
	case keyDelete:
		l.remove(l.at, l.at+1)
	case keyCutBefore:
		l.remove(0, l.at)
	case keyCutAfter:
		l.remove(l.at, len(l.text))
	case keyCutWord:
		l.remove(l.wordStart(), l.at)
	case keyLeft:
		l.at = max(0, l.at-1)
	case keyRight:
		l.at = min(len(l.text), l.at+1)
	case keyHome:
		l.at = 0
	case keyEnd:
		l.at = len(l.text)
	}
}

// pastedBreaks are the line ends of pastes: terminals send them as Enter does.
var pastedBreaks = strings.NewReplacer("\r\n", " ", "\r", " ")

func (l *typedLine) insert(text string) {
	fresh := []rune(printable(pastedBreaks.Replace(text)))
	fresh = fresh[:min(len(fresh), maxTyped-len(l.text))]
	l.text = append(l.text[:l.at:l.at], append(fresh, l.text[l.at:]...)...)
	l.at += len(fresh)
}

// remove deletes the runes from a up to b, as far as there are any.
func (l *typedLine) remove(a, b int) {
	a, b = max(0, a), min(b, len(l.text))
	if a < b {
		l.text = append(l.text[:a:a], l.text[b:]...)
		l.at = a
	}
}

func (l *typedLine) wordStart() int {
	i := l.at
	for i > 0 && unicode.IsSpace(l.text[i-1]) {
		i--
	}
	for i > 0 && !unicode.IsSpace(l.text[i-1]) {
		i--
	}
	return i
}

// view draws the line with its cursor in width columns, or placeholder if nothing
// is typed.
func (l *typedLine) view(width int, placeholder string, cursor, dim lipgloss.Style) string {
	block := " "
	if cursor.Render(" ") == " " { // without colours there is no reverse either
		block = "▏"
	}
	if len(l.text) == 0 {
		return cursor.Render(block) + dim.Render(cut(placeholder, width-1))
	}
	before, under, after := string(l.text[:l.at]), block, ""
	if l.at < len(l.text) {
		under, after = string(l.text[l.at]), string(l.text[l.at+1:])
	}
	room := max(0, width-ansi.StringWidth(under))
	for over := ansi.StringWidth(before) - room; over > 0; over = ansi.StringWidth(before) - room {
		before = ansi.TruncateLeft(before, over+1, "") // one more: half a wide character cannot go
	}
	after = ansi.Truncate(after, max(0, room-ansi.StringWidth(before)), "")
	return strings.Join([]string{before, cursor.Render(under), after}, "")
}
