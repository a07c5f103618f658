package peer

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
)

// openStream opens a stream from a to b and returns both ends.
func openStream(t testing.TB, a, b *Call, label string) (out, in *Stream) {
	t.Helper()
	out, err := a.Open(testContext(t), label)
	if err != nil {
		t.Fatal(err)
	}
	in, err = b.AcceptStream(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if in.Label() != label || out.Label() != label {
		t.Errorf("labels %q and %q, want %q", out.Label(), in.Label(), label)
	}
	return out, in
}

func TestStream(t *testing.T) {
	s := newFakeServer(t)
	a, b := connect(t, s.join("alice"), s.join("bob"))
	for _, ends := range [][2]*Call{{a, b}, {b, a}} {
		out, in := openStream(t, ends[0], ends[1], "file.txt")
		sent := make([]byte, 3<<20+17)
		rand.Read(sent)
		go func() {
			if _, err := out.Write(sent); err != nil {
				t.Error(err)
			}
			out.Close()
		}()
		got, err := io.ReadAll(in) // in pieces smaller than the messages, too
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes arrived, %v", len(got), len(sent), err)
		}
		in.Close()
	}
	wantChat(t, a, b)
}

func TestStreamEnds(t *testing.T) {
	s := newFakeServer(t)
	a, b := connect(t, s.join("alice"), s.join("bob"))
	out, in := openStream(t, a, b, "closed here")
	reading := make(chan error)
	go func() {
		_, err := out.Read(make([]byte, 1))
		reading <- err
	}()
	out.Close()
	if err := <-reading; err == nil {
		t.Error("Read went on after Close")
	}
	if _, err := out.Write([]byte("x")); err == nil {
		t.Error("Write went on after Close")
	}
	if _, err := in.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the other side's Read: %v, want EOF", err)
	}

	_, in = openStream(t, a, b, "call ended")
	go func() {
		_, err := in.Read(make([]byte, 1))
		reading <- err
	}()
	b.Close()
	if err := <-reading; !errors.Is(err, ErrClosed) {
		t.Errorf("Read in an ended call: %v", err)
	}
	if _, err := b.Open(testContext(t), "late"); !errors.Is(err, ErrClosed) {
		t.Errorf("Open in an ended call: %v", err)
	}
}

func TestStreamLabels(t *testing.T) {
	s := newFakeServer(t)
	a, _ := connect(t, s.join("alice"), s.join("bob"))
	for _, label := range []string{"", "control", "chat", "\xff", strings.Repeat("x", maxLabel+1)} {
		if _, err := a.Open(testContext(t), label); err == nil {
			t.Errorf("label %.20q was taken", label)
		}
	}
}

// The other side cannot make us hold more streams than the documented number.
func TestStreamsAreBounded(t *testing.T) {
	const beyond = 4
	s := newFakeServer(t)
	a, b := connect(t, s.join("alice"), s.join("bob"))
	refused := make(chan error, maxWaitingStreams+beyond)
	for range cap(refused) {
		out, err := a.Open(testContext(t), "many")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := out.Read(make([]byte, 1))
			refused <- err
		}()
	}
	for range beyond {
		if err := <-refused; err != io.EOF {
			t.Errorf("a stream too many: %v, want EOF", err)
		}
	}
	for range maxWaitingStreams {
		in, err := b.AcceptStream(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		in.Close()
	}
	if got := b.link.remoteStreams.Load(); got != 0 {
		t.Errorf("%d streams are counted after all were closed", got)
	}
	openStream(t, a, b, "again")
}
