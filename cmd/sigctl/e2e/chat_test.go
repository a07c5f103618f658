//go:build integration

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// anyPath is either path, where both are open: on a slow machine the relay may be found first.
const anyPath = "direct|relay"

// wantPath waits until a chat is connected over a path, and returns its safety
// code.
func (p *process) wantPath(path string) (safety string) {
	p.t.Helper()
	if got := p.wantStatus(`^Connected to .*, path: (\w+) \(`)[1]; !slices.Contains(strings.Split(path, "|"), got) {
		p.t.Errorf("%s: path %s, want %s", p.name, got, path)
	}
	return p.wantStatus(`^Safety code: (\d{5}( \d{5}){5})$`)[1]
}

func TestThreeTerminals(t *testing.T) {
	t.Parallel()
	s := startServe(t, "--demo")
	user1 := s.chat("user1")
	user2 := s.chat("user2", "--call", "user1")
	if code1, code2 := user1.wantPath(anyPath), user2.wantPath(anyPath); code1 != code2 {
		t.Errorf("safety codes differ: %s and %s", code1, code2)
	}
	user2.says("hello", "how are you?")
	user1.wantLine("user2: hello")
	user1.wantLine("user2: how are you?")
	user1.says("fine")
	user2.wantLine("user1: fine")
	user2.saysNoMore()
	user2.wantExit(0)
	user1.wantStatus("^Call with user2 ended")
	user1.signal(syscall.SIGINT)
	user1.wantExit(130)
	s.signal(syscall.SIGINT)
	s.wantExit(0)
	s.wantNothingLeft()
}

func TestPiped(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		path        string
		serve, args []string
	}{
		{"direct", []string{"--turn", "off"}, nil},
		{"relay", nil, []string{"--relay"}},
	} {
		t.Run(tt.path, func(t *testing.T) {
			t.Parallel()
			s := startServe(t, append(tt.serve, "--demo")...)
			user1 := s.startChat("user1", nil, withInput(""))
			user1.wantStatus("^Waiting for a call")
			user2 := s.startChat("user2", append(tt.args, "--call", "user1"), withInput("hello\n"))
			user2.wantExit(0)
			user2.wantPath(tt.path)
			user1.wantPath(tt.path)
			user1.wantLine("user2: hello")
			user1.wantExit(0)
		})
	}
}

// Both sides send at once, more than fits in any buffer on the way.
func TestBothAtOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		path string
		args []string
	}{
		{"direct", nil},
		{"relay", []string{"--relay"}},
	} {
		t.Run(tt.path, func(t *testing.T) {
			t.Parallel()
			s := startServe(t, "--demo")
			user1 := s.startChat("user1", nil, withInput(numbered("one", 1000)))
			user1.wantStatus("^Waiting for a call")
			user2 := s.startChat("user2", append(tt.args, "--call", "user1"))
			user2.says(strings.TrimSuffix(numbered("two", 1000), "\n"))
			_, last, _ := strings.Cut(numbered("one", 1000), "one 999")
			user2.wantLine("user1: one 999" + strings.TrimSuffix(last, "\n"))
			user2.saysNoMore() // the caller hangs up, once nothing comes for a moment
			user2.wantExit(0)
			user1.wantExit(0)
			wantText(t, "user1", user1.out.all(), prefixed("user2: ", numbered("two", 1000)))
			wantText(t, "user2", user2.out.all(), prefixed("user1: ", numbered("one", 1000)))
		})
	}
}

func numbered(word string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s %d %s\n", word, i, strings.Repeat("x", i%200))
	}
	return b.String()
}

func prefixed(prefix, text string) string {
	lines := slices.Collect(strings.Lines(text))
	for i := range lines {
		lines[i] = prefix + lines[i]
	}
	return strings.Join(lines, "")
}

// wantText says where the first difference is: the texts are long.
func wantText(t *testing.T, who, got, want string) {
	t.Helper()
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			t.Fatalf("%s: line %d is %q, want %q", who, i+1, gotLines[i], wantLines[i])
		}
	}
	if len(gotLines) != len(wantLines) {
		t.Fatalf("%s: %d lines, want %d", who, len(gotLines), len(wantLines))
	}
}

// The caller must not claim that a message arrived which nobody took: user1 stops
// dead, so the message lies in the kernel at best, and is then killed.
func TestKilledBeforeItTook(t *testing.T) {
	t.Parallel()
	s := startServe(t, "--demo")
	user1 := s.chat("user1")
	user2 := s.chat("user2", "--call", "user1")
	user1.wantPath(anyPath)
	user2.wantPath(anyPath)
	user1.signal(syscall.SIGSTOP)
	user2.says("hello")
	user2.saysNoMore()
	user1.signal(syscall.SIGKILL)
	user2.wait()
	if code := user2.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	user2.wantStatus("^sigctl: the call ended before the last message was received")
	if got := user1.out.all(); got != "" {
		t.Errorf("user1 took %q", got)
	}
}

// A call leaves nothing at the server: its relay's sockets are closed with it.
func TestCallsLeaveNothing(t *testing.T) {
	t.Parallel()
	s := startServe(t, "--demo")
	user1 := s.chat("user1", "--relay")
	before := s.descriptors()
	for range 3 {
		user2 := s.startChat("user2", []string{"--relay", "--call", "user1"}, withInput("hello\n"))
		user2.wantExit(0)
		user1.wantPath("relay")
		user1.wantLine("user2: hello")
		user1.wantStatus("^Call with user2 ended")
		until(t, "the relay's sockets are closed", func() bool { return s.descriptors() <= before })
	}
}

func TestUserAddWhileServing(t *testing.T) {
	t.Parallel()
	s := startServe(t)
	s.passwords["alice"] = "password-of-alice"
	early := s.startChat("alice", nil)
	early.wantExit(3)
	s.add("alice")
	s.add("bob")
	alice := s.chat("alice")
	bob := s.chat("bob", "--call", "alice")
	bob.says("hello")
	alice.wantLine("bob: hello")
}

// Who talks already is busy to a third, who is told so at once.
func TestThirdCallerIsToldBusy(t *testing.T) {
	t.Parallel()
	s := startServe(t)
	for _, name := range []string{"user1", "user2", "user3"} {
		s.add(name)
	}
	user1 := s.chat("user1")
	s.chat("user2", "--call", "user1").wantPath(anyPath)
	user1.wantPath(anyPath)
	for _, busy := range []string{"user1", "user2"} {
		user3 := s.startChat("user3", []string{"--call", busy})
		user3.wantStatus("busy")
		user3.wantExit(4)
	}
}
