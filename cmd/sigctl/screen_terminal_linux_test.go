package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/charmbracelet/lipgloss"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// openPTY returns the two ends of a pseudo-terminal: ours and the program's.
func openPTY(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	return ours, theirs
}

// awaitOutput reads what the terminal shows until it has text.
func awaitOutput(t *testing.T, ours *os.File, text string) {
	t.Helper()
	var all strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(all.String(), text) {
		n, err := ours.Read(buf)
		if err != nil {
			t.Fatalf("the terminal shows %q, not %q: %v", all.String(), text, err)
		}
		all.Write(buf[:n])
	}
}

// The terminal takes keys, shows the screen, and is as before when it ends: after
// /quit and after an interruption.
func TestTerminal(t *testing.T) {
	for name, want := range map[string]error{"quit": nil, "interrupted": context.Canceled} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := openPTY(t)
			before, err := term.GetState(int(theirs.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			tty, ended := newTerminal(theirs, theirs), make(chan error, 1)
			calls := &fakeCalls{}
			s := newScreen("user1", "lobby", "wss://example.com", calls, lipgloss.NewRenderer(theirs))
			go func() { ended <- tty.run(ctx, s) }()
			awaitOutput(t, ours, "user1 @ example.com")
			tty.post(inCall)
			awaitOutput(t, ours, testCode)
			fmt.Fprint(ours, "hello\r/verify\r")
			awaitOutput(t, ours, "Read it to each other")
			if want == nil {
				fmt.Fprint(ours, "/quit\r")
			} else {
				cancel()
			}
			awaitOutput(t, ours, leaveScreen)
			if err := <-ended; !errors.Is(err, want) {
				t.Errorf("run: %v, want %v", err, want)
			}
			cancel()
			tty.post(inCall) // nobody waits for it: must not block
			if after, err := term.GetState(int(theirs.Fd())); err != nil || *after != *before {
				t.Errorf("the terminal is not as before: %v", err)
			}
			if len(calls.asked) != 1 || calls.asked[0] != "say 7 hello" {
				t.Errorf("asked for %q, want to say hello in call 7", calls.asked)
			}
		})
	}
}
