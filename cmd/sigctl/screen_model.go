package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"

	"github.com/sigctl/sigctl/pkg/protocol"
)

const (
	maxEntries = 2000    // kept on the screen; older ones go
	maxTyped   = 4 << 10 // characters, of at most 4 bytes each: what fits into a text
)

// calls is what the screen makes happen.
type calls interface {
	Call(name string) bool
	Say(call uint64, text string) error
	Hangup(ctx context.Context, call uint64)
	Peers(ctx context.Context)
	Stats() []string
}

// entryKind says what an entry of the screen's log is.
type entryKind int

const (
	note   entryKind = iota // of the chat itself
	alarm                   // a note that should not be missed
	theirs                  // a text that came
	ours                    // a text that was sent
)

// mark says what is known of a text that was sent.
type mark int

const (
	onItsWay mark = iota
	arrived
	lost
)

// entry is one item of the log. Its texts are printable.
type entry struct {
	kind entryKind
	at   time.Time
	from string
	text []string // lines
	n    int      // of ours
	mark mark     // of ours
}

// screen is the model of the full-screen chat. What comes from outside becomes
// printable where it enters.
type screen struct {
	// set at construction
	user, room, server string
	calls              calls
	now                func() time.Time
	style              styles

	width, height int
	input         typedLine
	typedFor      string // whom the input was begun for; "" is nobody
	scroll        int    // rows between the end of the log and that of the screen
	entries       []entry
	present       []string // others in the room
	call          *connected
	calling       string // whom a call goes out to
	fault         error  // why the server is lost
	quit          bool
	drawn         string // by the terminal
	asked         bool   // /peers waits for its answer
}

func newScreen(user, room, server string, c calls, renderer *lipgloss.Renderer) *screen {
	return &screen{user: user, room: room, server: printable(server), calls: c, now: time.Now, style: newStyles(renderer)}
}

// effect is what the screen wants done, and does not wait for.
type effect func(ctx context.Context)

// update takes what was typed and what happened.
func (s *screen) update(msg any) effect {
	switch msg := msg.(type) {
	case resized:
		s.width, s.height = msg.width, msg.height
	case keyPress:
		return s.key(msg)
	case serverLost:
		s.fault = msg.err
		s.calling, s.present = "", nil
		s.add(alarm, "", "The server is lost: "+msg.err.Error(), "There are no new calls: /quit ends the chat.")
	case chatEvent:
		s.happened(msg)
	}
	return nil
}

func (s *screen) key(k keyPress) effect {
	switch k.kind {
	case keyInterrupt:
		s.quit = true
	case keyEOF:
		s.quit = s.input.String() == ""
	case keyEnter:
		return s.enter()
	case keyPageUp:
		s.scrollBy(s.logHeight() - 1)
	case keyPageDown:
		s.scrollBy(1 - s.logHeight())
	case keyUp:
		s.scrollBy(1)
	case keyDown:
		s.scrollBy(-1)
	default:
		if s.input.String() == "" {
			s.typedFor = s.partner()
		}
		s.input.key(k)
	}
	return nil
}

// partner returns whom one talks to, or calls, or "".
func (s *screen) partner() string {
	if s.call != nil {
		return s.call.Peer
	}
	return s.calling
}

// enter takes the line that was typed.
func (s *screen) enter() effect {
	line := strings.TrimSpace(s.input.String())
	switch {
	case line == "":
		return nil
	case strings.HasPrefix(line, "/"):
		s.input.reset()
		return s.command(line)
	case s.call == nil:
		s.add(note, "", "You are not in a call: /call NAME calls somebody.")
		return nil // what was typed stays
	case s.typedFor != s.call.Peer:
		s.typedFor = s.call.Peer
		s.add(alarm, "", "You typed this before "+s.call.Peer+" was connected. Press Enter again to send it to "+s.call.Peer+".")
		return nil
	}
	if err := s.calls.Say(s.call.call, line); err != nil {
		s.add(note, "", "Not sent: "+err.Error()+".")
		return nil
	}
	s.input.reset()
	s.scroll = 0
	return nil
}

func (s *screen) command(line string) effect {
	name, arg, _ := strings.Cut(line, " ")
	arg = strings.TrimSpace(arg)
	switch name {
	case "/quit", "/q", "/exit":
		s.quit = true
	case "/help", "/?":
		s.add(note, "", helpLines...)
	case "/call":
		s.callSomebody(arg)
	case "/hangup":
		if s.call == nil && s.calling == "" {
			s.add(note, "", "You are not in a call.")
			return nil
		}
		var call uint64
		if s.call != nil {
			call = s.call.call
		}
		return func(ctx context.Context) { s.calls.Hangup(ctx, call) }
	case "/peers":
		s.asked = true
		return s.calls.Peers
	case "/verify":
		s.verify()
	case "/stats":
		s.add(note, "", s.calls.Stats()...)
	default:
		s.add(note, "", "There is no "+name+": /help lists the commands.")
	}
	return nil
}

var helpLines = []string{
	"/call NAME  call somebody",
	"/hangup     end the call",
	"/peers      who is here",
	"/verify     the safety code",
	"/stats      path and counters",
	"/quit       end, as Ctrl-C does",
	"PgUp and PgDn scroll. ✓: received there.",
}

func (s *screen) callSomebody(name string) {
	switch {
	case s.fault != nil:
		s.add(note, "", "The server is lost.")
	case s.call != nil || s.calling != "":
		s.add(note, "", "You are in a call: /hangup ends it.")
	case name == s.user:
		s.add(note, "", "Nobody can call themselves.")
	case !protocol.ValidName(name):
		s.add(note, "", "Say whom: /call NAME")
	case !s.calls.Call(name):
		s.add(note, "", "A call is being made already.")
	}
}

func (s *screen) verify() {
	switch {
	case s.call == nil:
		s.add(note, "", "You are not in a call.")
	case s.call.Safety == "":
		s.add(note, "", "The other side is a plain page: there is no safety code.")
	default:
		s.add(note, "", "Safety code  "+s.call.Safety,
			"Read it to each other by another way, a phone for example.",
			"If it is the same, nobody listens, the server neither.")
	}
}

// happened takes an event of the chat.
func (s *screen) happened(e chatEvent) {
	switch e := e.(type) {
	case calling:
		s.calling = e.Peer
	case connected:
		s.calling, s.call = "", &e
		s.add(note, "", "Connected to "+e.Peer+", "+e.Path+" ("+e.Pair+").")
		if !e.Receipts {
			s.add(note, "", "This is a plain page: it says nothing of what it received.")
		}
	case message:
		s.add(theirs, e.From, strings.Split(strings.ReplaceAll(e.Text, "\r\n", "\n"), "\n")...)
	case sent:
		s.add(ours, s.user, e.Text)
		s.entries[len(s.entries)-1].n = e.N
	case unsent:
		s.add(ours, s.user, e.Text)
		s.entries[len(s.entries)-1].mark = lost
	case delivered:
		s.setMarks(e.N, arrived)
	case ended:
		if s.call == nil {
			s.add(note, "", "No call with "+e.Peer+": "+e.Reason+".")
		} else {
			s.add(note, "", "Call with "+e.Peer+" ended: "+e.Reason+".")
		}
		s.call, s.calling = nil, ""
		s.setMarks(math.MaxInt, lost)
		if e.Undelivered > 0 {
			s.add(alarm, "", fmt.Sprintf("✗ marks %d message%s that %s may not have received.", e.Undelivered, plural(e.Undelivered), e.Peer))
		}
	case present:
		s.present = slices.Clone(e.Peers)
		if s.asked {
			s.asked = false
			s.add(note, "", "Here: "+strings.Join(append(slices.Clone(s.present), s.user+" (you)"), ", "))
		}
	case presence:
		s.moved(e)
	}
}

// moved notes who came or went.
func (s *screen) moved(e presence) {
	s.present = slices.DeleteFunc(slices.Clone(s.present), func(name string) bool { return name == e.Peer })
	if !e.Here {
		return
	}
	s.present = append(s.present, e.Peer)
	slices.Sort(s.present)
}

// setMarks marks our texts up to the n-th of this call that are still on their way.
func (s *screen) setMarks(n int, m mark) {
	for i := range s.entries {
		if e := &s.entries[i]; e.kind == ours && e.n <= n && e.mark == onItsWay {
			e.mark = m
		}
	}
}

// add appends an entry to the log.
func (s *screen) add(kind entryKind, from string, lines ...string) {
	e := entry{kind: kind, at: s.now(), from: printable(from), text: make([]string, len(lines))}
	for i, line := range lines {
		e.text[i] = printable(line)
	}
	s.entries = append(s.entries, e)
	if s.scroll > 0 { // what is looked at stays where it is
		s.scroll += len(s.entryRows(e))
	}
	if extra := len(s.entries) - maxEntries; extra > 0 {
		s.entries = slices.Delete(s.entries, 0, extra)
	}
}
