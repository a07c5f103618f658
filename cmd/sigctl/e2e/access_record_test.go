//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// event is a line of the record.
type event struct {
	Time, Event, Outcome, Code, Why      string
	User, Source, Address, Room, Session string
	Peer, Message, Token, Actor          string
	Repeated                             int
}

// String is what tests tell events by: what happened, how it went, and what it was
// about, but neither when, nor in which session or with which token.
func (e event) String() string {
	words := []string{e.Event, e.Outcome}
	if e.Outcome == "refused" && e.Code != "" {
		words[1] = e.Code
	}
	doing := ""
	if e.Event == "admin" {
		doing = e.Why
	}
	for _, field := range []struct{ name, value string }{
		{"user", e.User}, {"by", e.Source}, {"room", e.Room}, {"message", e.Message}, {"peer", e.Peer}, {"actor", e.Actor}, {"doing", doing},
	} {
		if field.value != "" {
			words = append(words, field.name+"="+field.value)
		}
	}
	return strings.Join(words, " ")
}

// audit returns the record of the server.
func (s *server) audit() []event {
	s.t.Helper()
	return parseAudit(s.t, read(s.t, s.data, "audit.jsonl"))
}

func parseAudit(t *testing.T, content string) (events []event) {
	t.Helper()
	for line := range strings.Lines(content) {
		var e event
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil || d.More() || !strings.HasSuffix(line, "\n") {
			t.Fatalf("the record has the line %q: %v", line, err)
		}
		events = append(events, e)
	}
	return events
}

// count returns how often an event is on record.
func (s *server) count(event string) int {
	s.t.Helper()
	return s.countBecause(event, "")
}

func (s *server) countBecause(event, why string) (n int) {
	s.t.Helper()
	for _, e := range s.audit() {
		if e.String() == event && strings.Contains(e.Why, why) {
			n++
		}
	}
	return n
}

// wantEvent checks that an event is on record once.
func (s *server) wantEvent(event string) {
	s.t.Helper()
	s.wantRecorded(1, event, "")
}

// wantRecorded checks that an event is on record n times for this reason.
func (s *server) wantRecorded(n int, event, why string) {
	s.t.Helper()
	got := s.countBecause(event, why)
	for end := time.Now().Add(patience); got < n && time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // it may be told after the client is
		got = s.countBecause(event, why)
	}
	if got != n {
		s.t.Errorf("the record has %q because %q %d times, want %d:\n%s", event, why, got, n, eventLines(s.audit()))
	}
}

func eventLines(events []event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "  %s (%s)\n", e, e.Why)
	}
	return b.String()
}

// read returns what a file holds.
func read(t *testing.T, elements ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
