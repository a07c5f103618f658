package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	input  chan string // texts of this call
	cancel func()      // ends the call that is being made; nil: none is
}

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
		input := make(chan string, maxUnsent)
		e.set(call, input)
		e.emit(describe(call))
		t := &talk{call: call, input: input, emit: e.emit, linger: -1}
		_ = t.run(ctx) // said by its last event
		e.set(nil, nil)
	}
}

func (e *engine) set(call *peer.Call, input chan string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.call, e.input = call, input
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
		reason := oneLine(strings.TrimPrefix(err.Error(), "call "+name+": "))
		if errors.Is(err, context.Canceled) {
			reason = "hung up"
		}
		e.emit(ended{Peer: name, Reason: reason})
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

// Say sends text. It reports false if there is no call, or too much waits.
func (e *engine) Say(text string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case e.input <- text: // nil without a call
		return true
	default:
		return false
	}
}

// Hangup ends the call, or the attempt at one.
func (e *engine) Hangup(ctx context.Context) {
	e.mu.Lock()
	call, cancel := e.call, e.cancel
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
