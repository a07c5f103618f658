package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"syscall"
	"testing"
)

// fullDisk is a stream that takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// A message that could not be written is no success, and the chat does not go on.
func TestOutputThatCannotBeWritten(t *testing.T) {
	for _, json := range []bool{false, true} {
		ctx, stop := context.WithCancel(t.Context())
		p := &linePrinter{std: stdio{out: fullDisk{}, err: io.Discard}, json: json, stop: stop}
		p.emit(message{From: "user2", Text: "hello"})
		if ctx.Err() == nil {
			t.Errorf("json %v: the chat goes on", json)
		}
		if err := p.failed(ctx.Err()); !errors.Is(err, syscall.ENOSPC) || exitCode(err) != exitFailed {
			t.Errorf("json %v: %v, exit code %d, want %v and %d", json, err, exitCode(err), syscall.ENOSPC, exitFailed)
		}
	}
}

// Status that cannot be written is no reason to end.
func TestStatusThatCannotBeWritten(t *testing.T) {
	var out bytes.Buffer
	p := &linePrinter{std: stdio{out: &out, err: fullDisk{}}, stop: func() { t.Error("the chat ends") }}
	p.emit(calling{Peer: "user2"})
	p.emit(message{From: "user2", Text: "a\nb"})
	if err := p.failed(nil); err != nil || out.String() != "user2: a\nuser2: b\n" {
		t.Errorf("wrote %q, error %v", out.String(), err)
	}
}
