package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadLines(t *testing.T) {
	long := strings.Repeat("x", maxText)
	for _, c := range []struct {
		name, in string
		want     []string
		err      string
	}{
		{"nothing", "", nil, ""},
		{"lines", "a\r\n\nb", []string{"a", "", "b"}, ""},
		{"the longest", long + "\r\n" + long, []string{long, long}, ""},
		{"too long", "a\n" + long + "x\nb\n", []string{"a"}, "line 2 of the input is longer than 16384 bytes: it was not sent, nor what follows"},
		{"much too long", strings.Repeat(long, 3), nil, "line 1 of the input is longer than 16384 bytes: it was not sent, nor what follows"},
		{"not UTF-8", "\xff\n", nil, "line 1 of the input is not UTF-8: it was not sent, nor what follows"},
	} {
		in := &lineInput{r: strings.NewReader(c.in)}
		reading := in.begin()
		var got []string
		for line := range reading.next() {
			got = append(got, line)
		}
		reading.end(func(line string) { t.Errorf("%s: %q is left", c.name, line) })
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if text := fmt.Sprint(in.fault()); c.err == "" && in.fault() != nil || c.err != "" && text != c.err {
			t.Errorf("%s: error %q, want %q", c.name, text, c.err)
		}
	}
}

// testInput is an input that a test writes to.
type testInput struct {
	t *testing.T
	*lineInput
	w *os.File
}

func newTestInput(t *testing.T) *testInput {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return &testInput{t, &lineInput{r: r}, w}
}

func (in *testInput) write(text string) {
	in.t.Helper()
	if _, err := io.WriteString(in.w, text); err != nil {
		in.t.Fatal(err)
	}
}

// wantLine takes a line.
func (in *testInput) wantLine(r *reading, want string) {
	in.t.Helper()
	if got, ok := <-r.next(); !ok || got != want {
		in.t.Fatalf("line %q, %v, want %q", got, ok, want)
	}
}

// wantLeft ends a reading and checks what is left of it.
func (in *testInput) wantLeft(r *reading, want ...string) {
	in.t.Helper()
	var got []string
	r.end(func(line string) { got = append(got, line) })
	if diff := cmp.Diff(want, got); diff != "" {
		in.t.Errorf("left (-want +got):\n%s", diff)
	}
}

// What is in the input when a call ends is not for the next one, whether it was read
// ahead, lies in the pipe, or is a line that has only begun.
func TestInputIsForOneCall(t *testing.T) {
	in := newTestInput(t)
	in.write("before the call\n")
	bob := in.begin()
	in.wantLine(bob, "before the call")
	in.write("for bob\nread ahead\nin the buffer\nbeg")
	in.wantLine(bob, "for bob")
	in.write("un, in the pi")
	in.wantLeft(bob, "read ahead", "in the buffer", "begun, in the pi")

	in.write("pe\nwhile there was no call\n")
	nobody := in.begin()
	in.wantLine(nobody, "while there was no call")
	in.write("still none\n")
	in.wantLeft(nobody, "still none")

	eve := in.begin()
	in.write("for eve\n")
	in.wantLine(eve, "for eve")
	in.wantLeft(eve)
	if in.atEnd() {
		t.Error("the input has ended")
	}
	in.w.Close()
	in.wantLeft(in.begin())
	if !in.atEnd() || in.fault() != nil {
		t.Errorf("at its end %v, error %v", in.atEnd(), in.fault())
	}
}

// A call may end before any of its input was taken.
func TestInputThatNobodyTook(t *testing.T) {
	in := newTestInput(t)
	in.write("one\ntwo")
	in.wantLeft(in.begin(), "one", "two")
	in.write("\nthree\n")
	in.w.Close()
	r := in.begin()
	in.wantLine(r, "three")
	in.wantLeft(r)
}

// A file is all there when its call begins.
func TestInputFromAFile(t *testing.T) {
	f, err := os.Open(writeFile(t, strings.Repeat("line\n", 100_000)+"the last"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := &lineInput{r: f}
	r := in.begin()
	<-r.next()
	left := 0
	r.end(func(string) { left++ })
	if left != 100_000 || !in.atEnd() {
		t.Errorf("%d lines are left, want 100000; at its end %v", left, in.atEnd())
	}
}

// A program that writes without end does not keep a call from ending.
func TestInputWithoutEnd(t *testing.T) {
	in := newTestInput(t)
	go func() {
		for line := []byte(strings.Repeat("y\n", 1000)); ; {
			if _, err := in.w.Write(line); err != nil {
				return
			}
		}
	}()
	r := in.begin()
	in.wantLine(r, "y")
	left := 0
	r.end(func(string) { left++ })
	if left == 0 {
		t.Error("nothing was left of a full pipe")
	}
}
