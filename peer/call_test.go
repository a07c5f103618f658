package peer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

func TestChat(t *testing.T) {
	s := newFakeServer(t)
	a, b := connect(t, s.join("alice"), s.join("bob"))
	wantChat(t, a, b)

	if a.Peer() != "bob" || b.Peer() != "alice" || a.ID() != b.ID() || !protocol.ValidCallID(a.ID()) {
		t.Errorf("call %q with %s and %q with %s", a.ID(), a.Peer(), b.ID(), b.Peer())
	}
	if p := a.Path(); p.Kind() != "direct" || !p.Receipts || p.Local.Type != "host" || p.Local.Protocol != "udp" {
		t.Errorf("path %q", p)
	}
	if got := a.Stats(); got.TextsSent != 1 || got.TextsAcknowledged != 1 || got.TextsReceived != 1 || got.BytesSent == 0 {
		t.Errorf("stats %+v", got)
	}
	want := []string{"offer sent", "answer received", "ICE connected", "DTLS connected", "control open", "chat open"}
	for i, step := range a.Timeline() {
		if i >= len(want) || step.Name != want[i] {
			t.Errorf("timeline %v, want %q", a.Timeline(), want)
			break
		}
	}
}

// Texts of both sides at once arrive all, in order.
func TestChatBothWaysAtOnce(t *testing.T) {
	const texts = 500
	s := newFakeServer(t)
	a, b := connect(t, s.join("alice"), s.join("bob"))
	errs := make(chan error, 4)
	for _, call := range []*Call{a, b} {
		go func() {
			for i := range texts {
				if err := call.Send(testContext(t), fmt.Sprint(i)); err != nil {
					errs <- err
					return
				}
			}
			errs <- call.Flush(testContext(t))
		}()
		go func() {
			for i := range texts {
				if got, err := call.Recv(testContext(t)); err != nil || got != fmt.Sprint(i) {
					errs <- fmt.Errorf("text %d is %q, %v", i, got, err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

// Flush is about the application on the other side, not about its socket.
func TestFlushWaitsForRecv(t *testing.T) {
	s := newFakeServer(t)
	a, b := connect(t, s.join("alice"), s.join("bob"))
	say(t, a, "hello")
	flushed := make(chan error, 1)
	go func() { flushed <- a.Flush(testContext(t)) }()
	say(t, b, "marker")
	wantText(t, a, "marker") // a round trip: the text is there
	select {
	case err := <-flushed:
		t.Fatalf("Flush returned %v before Recv", err)
	default:
	}
	wantText(t, b, "hello")
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
}

func TestSendRefuses(t *testing.T) {
	s := newFakeServer(t)
	a, b := connect(t, s.join("alice"), s.join("bob"))
	if err := a.Send(testContext(t), strings.Repeat("x", maxText+1)); !errors.Is(err, ErrTooLong) {
		t.Errorf("a text that is too long: %v", err)
	}
	if err := a.Send(testContext(t), "\xff"); err == nil {
		t.Error("a text that is not UTF-8 was sent")
	}
	longest := strings.Repeat("x", maxText)
	say(t, a, longest)
	wantText(t, b, longest)
	say(t, a, "")
	wantText(t, b, "")
}

// A side that does not take what it is sent makes the sender wait, not grow.
func TestSendWaitsForSlowReceiver(t *testing.T) {
	s := newFakeServer(t)
	a, b := connect(t, s.join("alice"), s.join("bob"))
	text := strings.Repeat("x", maxText)
	send := func() error { // gives up when it has waited for a while
		ctx, cancel := context.WithTimeout(testContext(t), 500*time.Millisecond)
		defer cancel()
		return a.Send(ctx, text)
	}
	n := 0
	for send() == nil {
		if n++; n > 10_000 { // 160 MB: more than all buffers on the way
			t.Fatal("everything was sent to a side that takes nothing")
		}
	}
	if err := a.Err(); err != nil {
		t.Fatal(err)
	}
	for range n {
		wantText(t, b, text)
	}
	say(t, a, "after")
	wantText(t, b, "after")
}

func TestHangup(t *testing.T) {
	tests := []struct {
		name   string
		hangup func(caller, callee *Call) (other *Call)
		want   error
	}{
		{"caller", func(a, b *Call) *Call { a.Close(); return b }, ErrHangup},
		{"callee", func(a, b *Call) *Call { b.Close(); return a }, ErrHangup},
		{"busy", func(a, b *Call) *Call { b.Hangup(context.Background(), protocol.ReasonBusy); return a }, ErrBusy},
		{"client", func(a, b *Call) *Call { b.client.Close(); return a }, ErrHangup},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			a, b := connect(t, s.join("alice"), s.join("bob"))
			other := tt.hangup(a, b)
			<-other.Done()
			if !errors.Is(other.Err(), tt.want) {
				t.Errorf("the other side's call ended with %v, want %v", other.Err(), tt.want)
			}
			if _, err := other.Recv(testContext(t)); !errors.Is(err, tt.want) {
				t.Errorf("Recv: %v", err)
			}
			if err := other.Send(testContext(t), "x"); !errors.Is(err, tt.want) {
				t.Errorf("Send: %v", err)
			}
		})
	}
}

// Either way of saying it is enough.
func TestHangupOverOneWayAlone(t *testing.T) {
	t.Run("control", func(t *testing.T) {
		s := newFakeServer(t)
		s.tamper = func(_, _ string, m protocol.Forwarded) protocol.Forwarded {
			if _, ok := m.(protocol.Leave); ok {
				return nil
			}
			return m
		}
		a, b := connect(t, s.join("alice"), s.join("bob"))
		a.Close()
		<-b.Done()
		if !errors.Is(b.Err(), ErrHangup) {
			t.Errorf("ended with %v", b.Err())
		}
	})
	t.Run("signaling", func(t *testing.T) {
		s := newFakeServer(t)
		a, b := connect(t, s.join("alice"), s.join("bob"))
		a.send(protocol.Leave{Name: "bob", Call: a.ID(), Reason: protocol.ReasonHangup})
		<-b.Done()
		if !errors.Is(b.Err(), ErrHangup) {
			t.Errorf("ended with %v", b.Err())
		}
	})
}

// What had arrived can still be received after the end.
func TestTextsOutliveTheCall(t *testing.T) {
	s := newFakeServer(t)
	a, b := connect(t, s.join("alice"), s.join("bob"))
	b.texts <- "last words" // as readChat does
	a.Close()
	<-b.finished
	wantText(t, b, "last words")
	if _, err := b.Recv(testContext(t)); !errors.Is(err, ErrHangup) {
		t.Errorf("after the last text: %v", err)
	}
}

func TestReceiptsOfAnotherSideThatLies(t *testing.T) {
	tests := []struct {
		name  string
		frame string
	}{
		{"never sent", `{"type":"received","n":2}`},
		{"goes back", `{"type":"received","n":0}`},
		{"negative", `{"type":"received","n":-1}`},
		{"no JSON", `received 1`},
		{"too long", `{"type":"x","pad":"` + strings.Repeat("x", maxControl) + `"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			a, b := connect(t, s.join("alice"), s.join("bob"))
			say(t, a, "one")
			wantText(t, b, "one")
			if err := a.Flush(testContext(t)); err != nil {
				t.Fatal(err)
			}
			if err := b.link.control.write(testContext(t), []byte(tt.frame), true); err != nil {
				t.Fatal(err)
			}
			<-a.Done()
			if !errors.Is(a.Err(), ErrProtocol) {
				t.Errorf("call ended with %v, want %v", a.Err(), ErrProtocol)
			}
		})
	}
}

func TestUnknownControlMessageIsIgnored(t *testing.T) {
	s := newFakeServer(t)
	a, b := connect(t, s.join("alice"), s.join("bob"))
	if err := b.link.control.write(testContext(t), []byte(`{"type":"later"}`), true); err != nil {
		t.Fatal(err)
	}
	wantChat(t, a, b)
}
