package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/sigctl/sigctl/peer"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// linePrinter prints the events of a chat: messages as results, the rest as
// status; or all of them as results, as JSON.
type linePrinter struct {
	std  stdio
	json bool
	stop func() // ends the chat: nobody reads its results

	mu  sync.Mutex // guards the streams
	err error      // the first of writing results
}

func (p *linePrinter) emit(e chatEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, isMessage := e.(message)
	switch {
	case p.json:
		p.result(encodeEvent(e))
	case isMessage:
		var text []byte
		for _, line := range printableLines(m.Text) {
			text = fmt.Appendf(text, "%s: %s\n", printable(m.From), line)
		}
		p.result(text)
	default:
		printStatus(p.std.err, e)
	}
}

func (p *linePrinter) result(text []byte) {
	if _, err := p.std.out.Write(text); err != nil && p.err == nil {
		p.err = fmt.Errorf("write the output: %w", err)
		p.stop()
	}
}

// failed returns why results could not be written, or else err.
func (p *linePrinter) failed(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	return err
}

// printStatus says what happened; sent and received texts are not worth a line.
func printStatus(w io.Writer, e chatEvent) {
	switch e := e.(type) {
	case signedIn:
		fmt.Fprintf(w, "Signed in as %s%s at %s.\n", e.User, inRoom(e.Room), e.Server)
	case calling:
		fmt.Fprintf(w, "Calling %s…\n", e.Peer)
	case connected:
		fmt.Fprintf(w, "Connected to %s in %d ms, path: %s (%s).\n", e.Peer, e.Took, e.Path, e.Pair)
		fmt.Fprintf(w, "Safety code: %s\n", e.Safety)
		if !e.Receipts {
			fmt.Fprintln(w, "The other side is a plain page: it says nothing of what it received.")
		}
	case ended:
		fmt.Fprintf(w, "Call with %s ended: %s.\n", e.Peer, strings.TrimSuffix(e.Reason, "."))
	}
}

// inRoom names a room that is not where everybody is.
func inRoom(room string) string {
	if room == protocol.Lobby {
		return ""
	}
	return " in room " + room
}

// chatLines runs the line mode: lines of the input go out, texts come in as lines.
func chatLines(ctx context.Context, client *peer.Client, opts *chatOptions, std stdio) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	printer := &linePrinter{std: std, json: opts.json, stop: stop}
	printer.emit(signedIn{User: client.User(), Room: client.Room(), Server: opts.server})
	in := readLines(std.in)
	defer in.stop()
	if opts.call != "" {
		return printer.failed(chatAsCaller(ctx, client, opts.call, in, printer))
	}
	if !opts.json {
		fmt.Fprintln(std.err, "Waiting for a call.")
	}
	return printer.failed(chatAsCallee(ctx, client, in, printer))
}

// chatAsCaller calls, and hangs up at the end of the input.
func chatAsCaller(ctx context.Context, client *peer.Client, name string, in *lineInput, p *linePrinter) error {
	p.emit(calling{Peer: name})
	call, err := client.Call(ctx, name)
	if err != nil {
		return callFault(name, err)
	}
	p.emit(describe(call))
	t := &talk{call: call, input: in.lines, emit: p.emit, linger: lingerTime}
	if err := t.run(ctx); err != nil {
		return err
	}
	return in.ended()
}

// chatAsCallee takes one call after the other, until the input has ended and no
// call goes on; the first one it waits for.
func chatAsCallee(ctx context.Context, client *peer.Client, in *lineInput, p *linePrinter) error {
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	var failed error
	for calls := 0; calls == 0 || !in.atEnd(); calls++ {
		if calls == 1 {
			defer context.AfterFunc(in.open, stop)()
		}
		call, err := client.Accept(waiting)
		switch {
		case errors.Is(err, context.Canceled) && ctx.Err() == nil:
			return errors.Join(failed, in.ended())
		case err != nil:
			return errors.Join(failed, err)
		}
		p.emit(describe(call))
		t := &talk{call: call, input: in.lines, emit: p.emit, linger: -1}
		if err := t.run(ctx); ctx.Err() != nil {
			return ctx.Err()
		} else if failed == nil {
			failed = err
		}
	}
	return errors.Join(failed, in.ended())
}

// ended returns why the input ended early, if it did.
func (in *lineInput) ended() error {
	if !in.atEnd() {
		return nil
	}
	return in.err
}

// atEnd reports whether all lines were taken and there are no more.
func (in *lineInput) atEnd() bool { return in.open.Err() != nil }
