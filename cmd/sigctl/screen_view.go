package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
)

const (
	narrow    = 60 // columns; below, times and decorations go
	frameRows = 5  // title, two rules, input, footer
)

// styles use the terminal's own colours, so that they fit its theme.
type styles struct {
	dim, bright, accent, title, good, relay, bad, me, you lipgloss.Style
}

func newStyles(r *lipgloss.Renderer) styles {
	colour := func(c string) lipgloss.Style { return r.NewStyle().Foreground(lipgloss.Color(c)) }
	return styles{
		bright: r.NewStyle().Bold(true),
		dim:    r.NewStyle().Faint(true),
		accent: colour("6").Bold(true),
		title:  r.NewStyle().Reverse(true).Bold(true),
		good:   colour("2"),
		relay:  colour("3"),
		bad:    colour("1").Bold(true),
		me:     colour("4").Bold(true),
		you:    colour("5").Bold(true),
	}
}

// view draws the screen: it never has more lines than the terminal, nor longer ones.
func (s *screen) view() string {
	if s.width == 0 {
		return ""
	}
	rule := s.style.dim.Render(strings.Repeat("─", s.width))
	rows := append([]string{s.titleRow()}, s.stateRows()...)
	rows = append(rows, rule)
	rows = append(rows, s.logRows()...)
	rows = append(rows, rule, s.inputRow(), s.footer())
	return strings.Join(rows, "\n")
}

// logHeight is how many rows are left for the log.
func (s *screen) logHeight() int { return max(1, s.height-frameRows-len(s.stateRows())) }

// logRows are the rows of the log that are to be seen: those before the last
// s.scroll ones.
func (s *screen) logRows() []string {
	height := s.logHeight()
	var rows []string // from the last one up
	for _, e := range slices.Backward(s.entries) {
		if len(rows) >= height+s.scroll {
			break
		}
		of := s.entryRows(e)
		slices.Reverse(of)
		rows = append(rows, of...)
	}
	rows = rows[min(s.scroll, max(0, len(rows)-height)):]
	rows = rows[:min(height, len(rows))]
	slices.Reverse(rows)
	return append(rows, make([]string, height-len(rows))...)
}

// scrollBy scrolls up, or down if rows is negative.
func (s *screen) scrollBy(rows int) {
	total := 0
	for _, e := range s.entries {
		total += len(s.entryRows(e))
	}
	s.scroll = max(0, min(s.scroll+rows, total-s.logHeight()))
}

func (s *screen) inputRow() string {
	const prompt = "› "
	placeholder := "/help lists the commands"
	if s.call != nil {
		placeholder = "message to " + s.call.Peer
	}
	width := max(1, s.width-lipgloss.Width(prompt))
	return s.style.accent.Render(prompt) + s.input.view(width, placeholder, s.style.title, s.style.dim)
}

// titleRow says who is signed in, in which room and where, and how many others are here.
func (s *screen) titleRow() string {
	left := " sigctl  " + s.user + inRoom(s.room)
	if s.width >= narrow {
		left += " @ " + strings.TrimPrefix(strings.TrimPrefix(s.server, "wss://"), "ws://")
	}
	right := fmt.Sprintf("%d other%s here ", len(s.present), plural(len(s.present)))
	if s.fault != nil {
		right = "server lost "
	}
	return s.style.title.Render(spread(left, right, s.width))
}

// stateRows say whom one talks to and on which path, and the safety code.
func (s *screen) stateRows() []string {
	switch {
	case s.calling != "":
		return []string{cut(" "+s.style.relay.Render("◌")+" calling "+s.calling+" …", s.width)}
	case s.call == nil:
		return []string{cut(" "+s.style.dim.Render("○ not in a call"+s.invitation()), s.width)}
	}
	path := s.style.good
	if s.call.Path == "relay" {
		path = s.style.relay
	}
	state := " " + path.Render("●") + " " + s.style.you.Render(s.call.Peer) + "  " + path.Render(s.call.Path)
	code := s.call.Safety
	if code == "" {
		code = "no safety code: a plain page"
	}
	if s.width >= narrow+20 {
		return []string{spread(cut(state, s.width-lipgloss.Width(code)-2), s.style.dim.Render(code+" "), s.width)}
	}
	return []string{cut(state, s.width), cut(" "+s.style.dim.Render(code), s.width)}
}

// invitation names somebody to call.
func (s *screen) invitation() string {
	switch {
	case s.fault != nil:
		return " · /quit"
	case len(s.present) == 0:
		return " · waiting for somebody"
	}
	return " · /call " + s.present[0]
}

func (s *screen) footer() string {
	text := " /help  /call NAME  /hangup  /peers  /verify  /stats  /quit"
	if s.width < narrow {
		text = " /help  /call NAME  /hangup  /quit"
	}
	right := ""
	if s.scroll > 0 {
		right = "↓ more "
	}
	return s.style.dim.Render(spread(text, right, s.width))
}

// entryRows draws an entry with its continuation lines indented.
func (s *screen) entryRows(e entry) []string {
	head, indent := s.entryHead(e)
	width := max(8, s.width-indent-2) // two columns for a mark
	var lines []string
	for _, line := range e.text {
		lines = append(lines, strings.Split(ansi.Wrap(line, width, ""), "\n")...)
	}
	for i, line := range lines {
		switch {
		case e.kind == note:
			line = s.style.dim.Render(line)
		case e.kind == alarm:
			line = s.style.bad.Render(line)
		}
		if i == 0 {
			lines[i] = head + line
		} else {
			lines[i] = strings.Repeat(" ", indent) + line
		}
	}
	lines[len(lines)-1] += s.markText(e)
	return lines
}

// entryHead is what stands before an entry, and how wide that is.
func (s *screen) entryHead(e entry) (head string, width int) {
	if s.width >= narrow {
		head = s.style.dim.Render(" " + e.at.Format("15:04") + " ")
	} else {
		head = " "
	}
	name := cut(e.from, max(6, s.width/4))
	switch e.kind {
	case theirs:
		head += s.style.you.Render(name) + " "
	case ours:
		head += s.style.me.Render(name) + " "
	case note:
		head += s.style.dim.Render("·") + " "
	case alarm:
		head += s.style.bad.Render("!") + " "
	}
	return head, lipgloss.Width(head)
}

func (s *screen) markText(e entry) string {
	if e.kind != ours {
		return ""
	}
	switch e.mark {
	case arrived:
		return " " + s.style.good.Render("✓")
	case lost:
		return " " + s.style.bad.Render("✗")
	}
	return " " + s.style.dim.Render("·")
}

// spread puts left and right at the two ends of width columns; left gives way.
func spread(left, right string, width int) string {
	space := width - lipgloss.Width(right)
	if space < 1 {
		return cut(left, width)
	}
	left = cut(left, space)
	return left + strings.Repeat(" ", space-lipgloss.Width(left)) + right
}

// cut shortens s to width columns.
func cut(s string, width int) string { return ansi.Truncate(s, max(0, width), "…") }

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
