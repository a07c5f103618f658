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
	case unsent:
		if e.Peer == "" {
			fmt.Fprintln(w, "You are not in a call: the message was not sent.")
		}
	case ended:
		fmt.Fprintf(w, "Call with %s ended: %s%s.\n", e.Peer, strings.TrimSuffix(e.Reason, "."), notDelivered(e.Undelivered))
	}
}

// notDelivered says how many texts of a call were not delivered, if any.
func notDelivered(texts int) string {
	switch texts {
	case 0:
		return ""
	case 1:
		return "; 1 message was not delivered"
	}
	return fmt.Sprintf("; %d messages were not delivered", texts)
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
	in := &lineInput{r: std.in}
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
		p.noCall(name, err, in)
		return callFault(name, err)
	}
	p.emit(describe(call))
	t := &talk{call: call, input: in.begin(), emit: p.emit, linger: lingerTime}
	if err := t.run(ctx); err != nil {
		return err
	}
	return in.fault()
}

// noCall says that a call came to nothing, and what was to be said in it.
func (p *linePrinter) noCall(name string, why error, in *lineInput) {
	missing := 0
	in.discard(func(line string) {
		missing++
		p.emit(unsent{Peer: name, Text: line})
	})
	if p.json || missing > 0 { // else the error says all
		p.emit(ended{Peer: name, Reason: noCallReason(name, why), Undelivered: missing})
	}
}

// chatAsCallee takes one call after the other, until the input has ended and no call
// goes on. It waits for the first one in any case, which gets the input from its start.
// A line that comes between two calls is for nobody.
func chatAsCallee(ctx context.Context, client *peer.Client, in *lineInput, p *linePrinter) error {
	strays := 0
	stray := func(line string) {
		strays++
		p.emit(unsent{Text: line})
	}
	var failed error
	call, err := client.Accept(ctx)
	for err == nil {
		p.emit(describe(call))
		t := &talk{call: call, input: in.begin(), emit: p.emit, linger: -1}
		if err := t.run(ctx); ctx.Err() != nil {
			return ctx.Err()
		} else if failed == nil {
			failed = err
		}
		if in.atEnd() {
			break
		}
		call, err = acceptNext(ctx, client, in, stray)
	}
	if errors.Is(err, errNoMoreInput) {
		err = nil
	}
	return errors.Join(failed, err, straysFault(strays), in.fault())
}

func straysFault(lines int) error {
	switch lines {
	case 0:
		return nil
	case 1:
		return errors.New("1 message was not sent: there was no call")
	}
	return fmt.Errorf("%d messages were not sent: there was no call", lines)
}

// errNoMoreInput ends the wait for another call.
var errNoMoreInput = errors.New("the input has ended")

// acceptNext waits for another call, at most until the input ends. The lines that come
// meanwhile are strays.
func acceptNext(ctx context.Context, client *peer.Client, in *lineInput, stray func(line string)) (*peer.Call, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	between := in.begin()
	defer between.end(stray)
	var call *peer.Call
	accepted := make(chan error, 1)
	go func() {
		var err error
		call, err = client.Accept(ctx)
		accepted <- err
	}()
	lines := between.next()
	for {
		select {
		case line, ok := <-lines:
			if ok {
				stray(line)
				continue
			}
			lines = nil
			stop(errNoMoreInput)
		case err := <-accepted:
			if err != nil && context.Cause(ctx) == errNoMoreInput {
				err = errNoMoreInput
			}
			return call, err
		}
	}
}
