package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/muesli/cancelreader"
	"golang.org/x/term"
)

// What switches a terminal to the full screen and back: the alternate screen, no
// cursor, pastes in brackets (xterm's control sequences).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?2004h"
	leaveScreen = "\x1b[?2004l\x1b[?25h\x1b[?1049l"
)

// resizeInterval is how soon a new size of the terminal is seen.
const resizeInterval = 200 * time.Millisecond

// resized is the message of a new size.
type resized struct{ width, height int }

// terminal runs a screen. (Bubble Tea would do it, but its v1 asks the terminal
// for its background before main begins: in every command, and a terminal that
// does not answer costs five seconds.)
type terminal struct {
	// set at construction
	in   *os.File
	out  io.Writer
	msgs chan any
	done chan struct{} // closed when nobody takes messages any more
}

func newTerminal(in *os.File, out io.Writer) *terminal {
	return &terminal{in: in, out: out, msgs: make(chan any), done: make(chan struct{})}
}

// post gives the screen a message, while there is one.
func (t *terminal) post(msg any) {
	select {
	case t.msgs <- msg:
	case <-t.done:
	}
}

// run shows s until it quits, or ctx ends: its error then.
func (t *terminal) run(ctx context.Context, s *screen) error {
	defer close(t.done)
	fd := int(t.in.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return fmt.Errorf("take over the terminal: %w", err)
	}
	defer term.Restore(fd, before)
	reader, err := cancelreader.NewReader(t.in)
	if err != nil {
		return fmt.Errorf("read the terminal: %w", err)
	}
	defer reader.Close()
	io.WriteString(t.out, enterScreen)
	defer io.WriteString(t.out, leaveScreen)

	ctx, cancel := context.WithCancel(ctx)
	keys := make(chan keyPress)
	var running sync.WaitGroup
	running.Go(func() { readKeys(ctx, reader, keys) })
	defer running.Wait()
	defer reader.Cancel()
	defer cancel()
	return t.loop(ctx, s, keys, &running)
}

// loop hands messages and keys to s, and draws it when there are no more of them.
func (t *terminal) loop(ctx context.Context, s *screen, keys <-chan keyPress, running *sync.WaitGroup) error {
	look := time.NewTicker(resizeInterval)
	defer look.Stop()
	t.resize(s)
	for !s.quit {
		t.draw(s)
		var msg any
		select {
		case msg = <-t.msgs:
		case k, open := <-keys:
			if !open {
				return errors.New("the terminal is gone")
			}
			msg = k
		case <-look.C:
			t.resize(s)
			continue
		case <-ctx.Done():
			return ctx.Err()
		}
		for more := true; more && !s.quit; {
			if effect := s.update(msg); effect != nil {
				running.Go(func() { effect(ctx) })
			}
			select {
			case msg = <-t.msgs:
			default:
				more = false
			}
		}
	}
	return nil
}

func (t *terminal) resize(s *screen) {
	width, height, err := term.GetSize(int(t.in.Fd()))
	if err != nil || width < 1 || height < 1 { // a serial line does not know
		width, height = 80, 24
	}
	s.update(resized{width, height})
}

// draw writes the rows of s over what is there.
func (t *terminal) draw(s *screen) {
	view := s.view()
	if view == s.drawn {
		return
	}
	s.drawn = view
	// Each row is erased before it is drawn: after a full one the cursor is still
	// on its last character, which would go.
	io.WriteString(t.out, "\x1b[H\x1b[K"+strings.ReplaceAll(view, "\n", "\r\n\x1b[K"))
}

// readKeys sends the keys that r has until it ends, then closes keys.
func readKeys(ctx context.Context, r io.Reader, keys chan<- keyPress) {
	defer close(keys)
	var pending []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		if err != nil {
			return
		}
		pending = append(pending, buf[:n]...)
		for {
			key, size := decodeKey(pending)
			if size == 0 {
				break
			}
			pending = pending[size:]
			if key.more { // what follows is not typed: its line ends are no Enter
				pending = append([]byte{escape, '['}, append([]byte(pasteBegin), pending...)...)
			}
			select {
			case keys <- key:
			case <-ctx.Done():
				return
			}
		}
	}
}
