package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigctl/sigctl/peer"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// endings are the ways in which another stack ends its call with user1.
var endings = []struct {
	name string
	end  func(*stack)
}{
	{"chat channel closed", func(s *stack) { s.chat.Close() }},
	{"control channel closed", func(s *stack) { s.control.Close() }},
	{"connection closed", func(s *stack) { s.pc.Close() }},
	{"hang-up over control", func(s *stack) { s.control.SendText(`{"type":"hangup"}`) }},
	{"hang-up over the server", func(s *stack) { s.send(map[string]any{"type": "leave"}) }},
	{"signed out", func(s *stack) { s.ws.Close() }},
	{"protocol broken", func(s *stack) { s.control.SendText(`{"type":"received","n":1000000}`) }},
	{"binary junk in the chat", func(s *stack) { s.chat.Send([]byte{0xff}) }},
}

// pipedChat is a chat of user1 that waits for calls, its input a pipe and its output
// JSON.
type pipedChat struct {
	t      *testing.T
	in     *os.File
	events *eventLog
	done   chan error
	cancel func()
}

func (ts *testServer) pipedChat(name string) *pipedChat {
	ts.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		ts.t.Fatal(err)
	}
	client, err := peer.Dial(ts.t.Context(), ts.signalURL(), &peer.Config{User: name, Password: demoUsers[name], MaxCalls: 1})
	if err != nil {
		ts.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ts.t.Context())
	c := &pipedChat{t: ts.t, in: w, events: &eventLog{changed: make(chan struct{})}, done: make(chan error, 1), cancel: cancel}
	go func() {
		c.done <- chatLines(ctx, client, &chatOptions{json: true}, stdio{in: r, out: c.events, err: io.Discard})
		close(c.done)
	}()
	ts.t.Cleanup(func() {
		cancel()
		<-c.done
		client.Close()
		r.Close()
		w.Close()
	})
	return c
}

// write writes to the chat's input. It returns when the chat, or the pipe, has it.
func (c *pipedChat) write(lines ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, strings.Join(lines, "\n")+"\n"); err != nil {
		c.t.Error(err)
	}
}

// eventLog keeps the events of a chat.
type eventLog struct {
	mu      sync.Mutex
	events  []map[string]any
	changed chan struct{} // closed, and made anew, when there are more
}

// Write takes one event.
func (l *eventLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var e map[string]any
	if err := json.Unmarshal(line, &e); err != nil {
		return 0, err
	}
	l.events = append(l.events, e)
	close(l.changed)
	l.changed = make(chan struct{})
	return len(line), nil
}

// count returns how many events match, and what is closed when there are more.
func (l *eventLog) count(kind, peer string) (n int, last map[string]any, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e["event"] == kind && (peer == "" || e["peer"] == peer) {
			n++
			last = e
		}
	}
	return n, last, l.changed
}

// wait returns the n-th event of a kind.
func (c *pipedChat) wait(kind, peer string, n int) map[string]any {
	c.t.Helper()
	timeout := time.After(10 * time.Minute)
	for {
		got, last, changed := c.events.count(kind, peer)
		if got >= n {
			return last
		}
		select {
		case <-changed:
		case <-timeout:
			c.t.Fatalf("%d events %q of %q, want %d", got, kind, peer, n)
		}
	}
}

// However a call ends: what was to be said in it and was not is reported, and the next
// caller gets nothing of it.
func TestInputDoesNotOutliveItsCall(t *testing.T) {
	const lines = 300 // of 10 KB: more than the pipe, the chat and both stacks hold
	for _, tt := range endings {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ts := startPlainServer(t, nil)
			chat := ts.pipedChat("user1")
			first := newStack(t, ts, "user2") // hears one text, and then reads no more
			chat.wait("connected", "user2", 1)

			written := make(chan struct{})
			go func() {
				defer close(written)
				for n := range lines {
					chat.write(fmt.Sprintf("for user2 alone: %d %s", n, strings.Repeat("x", 10_000)))
				}
			}()
			<-first.heard
			tt.end(first)
			end := chat.wait("ended", "user2", 1)
			<-written
			if lost := end["undelivered"].(float64); lost < 1 {
				t.Errorf("the call ended with %v undelivered messages", lost)
			}
			second := ts.caller("eve")
			chat.wait("connected", "eve", 1)
			chat.write("for eve")
			if got, err := second.Recv(t.Context()); err != nil || got != "for eve" {
				t.Errorf("the next caller got %.40q, %v", got, err)
			}
			sent, _, _ := chat.events.count("sent", "")
			unsent, _, _ := chat.events.count("unsent", "")
			if sent+unsent != lines+1 {
				t.Errorf("%d lines were sent and %d not, of %d", sent, unsent, lines+1)
			}
			second.Close()
			chat.wait("ended", "eve", 1)
			chat.in.Close()
			if err := <-chat.done; exitCode(err) != exitFailed {
				t.Errorf("the chat ended with %v, exit code %d, want %d", err, exitCode(err), exitFailed)
			}
		})
	}
}

// What this side does to end a chat reports the pending input as well.
func TestInputPendingWhenThisSideEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*testServer, *pipedChat)
	}{
		{"kicked", func(ts *testServer, _ *pipedChat) { ts.wantKick("user1") }},
		{"interrupted", func(_ *testServer, c *pipedChat) { c.cancel() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ts := startPlainServer(t, nil)
			chat := ts.pipedChat("user1")
			other := newStack(t, ts, "user2")
			chat.wait("connected", "user2", 1)
			chat.write("one", "two")
			<-other.heard // and sends no receipt
			tt.end(ts, chat)
			if lost := chat.wait("ended", "user2", 1)["undelivered"].(float64); lost != 2 {
				t.Errorf("the call ended with %v undelivered messages, want 2", lost)
			}
			if err := <-chat.done; exitCode(err) == exitDone {
				t.Error("the chat ended as if all was well")
			}
		})
	}
}

// The texts typed into the full screen are for the call that it shows. Those that wait
// when it ends are shown as lost.
func TestTypedTextDoesNotOutliveItsCall(t *testing.T) {
	ts := startPlainServer(t, nil)
	client, err := peer.Dial(t.Context(), ts.signalURL(), &peer.Config{User: "user1", Password: demoUsers["user1"], MaxCalls: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	events := make(chan chatEvent, 1000)
	e := newEngine(client, func(event chatEvent) { events <- event })
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { e.run(ctx) })

	first := newStack(t, ts, "user2")
	shown := await[connected](t, events)
	for range maxUnsent {
		if err := e.Say(shown.call, strings.Repeat("x", maxText)); err != nil {
			t.Fatal(err) // the queue holds so many, whether or not they go on
		}
	}
	<-first.heard // and it reads no more
	first.chat.Close()
	end := await[ended](t, events)
	if end.Undelivered < 1 {
		t.Errorf("the call ended with %d undelivered messages", end.Undelivered)
	}
	if err := e.Say(shown.call, "too late"); err != errCallOver {
		t.Errorf("Say after the end: %v, want %v", err, errCallOver)
	}
	second := ts.caller("eve")
	shownNext := await[connected](t, events)
	if err := e.Say(shown.call, "for user2"); err != errCallOver {
		t.Errorf("Say in a call that the screen does not show yet: %v, want %v", err, errCallOver)
	}
	e.Hangup(t.Context(), shown.call) // eve's call goes on
	if err := e.Say(shownNext.call, "for eve"); err != nil {
		t.Error(err)
	}
	if got, err := second.Recv(t.Context()); err != nil || got != "for eve" {
		t.Errorf("the next caller got %.40q, %v", got, err)
	}
}

// await returns the next event of a type.
func await[T chatEvent](t *testing.T, events <-chan chatEvent) T {
	t.Helper()
	timeout := time.After(10 * time.Minute)
	for {
		select {
		case e := <-events:
			if e, ok := e.(T); ok {
				return e
			}
		case <-timeout:
			var want T
			t.Fatalf("no event %T", want)
		}
	}
}

// caller signs name in, with a token, and calls user1.
func (ts *testServer) caller(name string) *peer.Call {
	ts.t.Helper()
	token := ts.roomToken(name, protocol.Lobby, time.Minute)
	client, err := peer.Dial(ts.t.Context(), ts.signalURL(), &peer.Config{
		User: name, Token: func(context.Context) (string, error) { return token, nil },
	})
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { client.Close() })
	call, err := client.Call(ts.t.Context(), "user1")
	if err != nil {
		ts.t.Fatal(err)
	}
	return call
}
