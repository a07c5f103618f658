package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sigctl/sigctl/peer"
)

// maxUnsent is how many texts may wait while the other side is slow.
const maxUnsent = 64

// engine runs the calls of a full-screen chat, one at a time, and tells emit what
// happens.
type engine struct {
	// set at construction
	client *peer.Client
	emit   func(chatEvent)
	wanted chan string // whom to call; one place

	// guarded by mu
	mu     sync.Mutex
	call   *peer.Call  // nil: none
	number uint64      // of this call, or the last one
	input  chan string // texts of this call
	cancel func()      // ends the call that is being made; nil: none is
}

var (
	errCallOver = errors.New("the call has ended")
	errSlow     = errors.New("the other side is slow: try again in a moment")
)

func newEngine(client *peer.Client, emit func(chatEvent)) *engine {
	return &engine{client: client, emit: emit, wanted: make(chan string, 1)}
}

// run takes and makes calls until ctx ends or the server is lost.
func (e *engine) run(ctx context.Context) {
	for {
		call, err := e.next(ctx)
		switch {
		case ctx.Err() != nil, e.client.Err() != nil:
			return
		case err != nil:
			continue // said already
		}
		typed := e.begin(call)
		said := describe(call)
		said.call = typed.number
		e.emit(said)
		t := &talk{call: call, input: typed, emit: e.emit, linger: -1}
		_ = t.run(ctx) // said by its last event
	}
}

// typedTexts are the texts of one of the engine's calls.
type typedTexts struct {
	engine *engine
	number uint64
	input  chan string
}

// begin makes call the one that Say is about.
func (e *engine) begin(call *peer.Call) *typedTexts {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.number++
	e.call, e.input = call, make(chan string, maxUnsent)
	return &typedTexts{e, e.number, e.input}
}

func (t *typedTexts) next() <-chan string { return t.input }

// end makes Say refuse, and hands out what it accepted and nobody took.
func (t *typedTexts) end(unsent func(text string)) {
	t.engine.mu.Lock()
	t.engine.call, t.engine.input = nil, nil
	t.engine.mu.Unlock()
	close(t.input) // nobody has it any more
	for text := range t.input {
		unsent(text)
	}
}

// next returns the next call that comes in, or that somebody wanted.
func (e *engine) next(ctx context.Context) (*peer.Call, error) {
	type incoming struct {
		call *peer.Call
		err  error
	}
	accepting, stop := context.WithCancel(ctx)
	defer stop()
	accepted := make(chan incoming, 1)
	go func() {
		call, err := e.client.Accept(accepting)
		accepted <- incoming{call, err}
	}()
	select {
	case in := <-accepted:
		return in.call, in.err
	case name := <-e.wanted:
		stop()
		if in := <-accepted; in.err == nil { // it came at the same moment
			e.emit(ended{Peer: name, Reason: "not called: " + in.call.Peer() + " called first"})
			return in.call, nil
		}
		return e.dial(ctx, name)
	}
}

// dial calls name. It emits why a call came to nothing.
func (e *engine) dial(ctx context.Context, name string) (*peer.Call, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.mu.Lock()
	e.cancel = cancel
	e.mu.Unlock()
	e.emit(calling{Peer: name})
	call, err := e.client.Call(ctx, name)
	e.mu.Lock()
	e.cancel = nil
	e.mu.Unlock()
	if err != nil {
		e.emit(ended{Peer: name, Reason: noCallReason(name, err)})
	}
	return call, err
}

// Call wants a call to name. It reports false if one is wanted already.
func (e *engine) Call(name string) bool {
	select {
	case e.wanted <- name:
		return true
	default:
		return false
	}
}

// Say sends text in the call with this number, and in no other. It fails if that call
// has ended, or too much waits.
func (e *engine) Say(call uint64, text string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.call == nil || e.number != call {
		return errCallOver
	}
	select {
	case e.input <- text:
		return nil
	default:
		return errSlow
	}
}

// Hangup ends the call with this number, or the attempt at one.
func (e *engine) Hangup(ctx context.Context, number uint64) {
	e.mu.Lock()
	call, cancel := e.call, e.cancel
	if e.number != number {
		call = nil // it came after the one that is to end
	}
	e.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if call != nil {
		_ = call.Hangup(ctx, "") // the call's end is an event
	}
}

// Peers asks who is in the room.
func (e *engine) Peers(ctx context.Context) {
	if names, err := e.client.Peers(ctx); err == nil { // else the server is lost, which run says
		e.emit(present{Peers: names})
	}
}

// Stats describes the call in a few lines.
func (e *engine) Stats() []string {
	e.mu.Lock()
	call := e.call
	e.mu.Unlock()
	if call == nil {
		return []string{"not in a call"}
	}
	s, path := call.Stats(), call.Path()
	return []string{
		"path " + path.String(),
		fmt.Sprintf("texts: %d sent, %d received there, %d came", s.TextsSent, s.TextsAcknowledged, s.TextsReceived),
		fmt.Sprintf("bytes: %d sent, %d came", s.BytesSent, s.BytesReceived),
		fmt.Sprintf("socket buffers: %d KiB in, %d KiB out", s.SocketReadBuffer>>10, s.SocketWriteBuffer>>10),
	}
}
