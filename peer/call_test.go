package peer

import (
	"errors"
	"testing"
)

func TestChat(t *testing.T) {
	s := newFakeServer(t)
	alice, bob := s.join("alice"), s.join("bob")
	a, b := connect(t, alice, bob)
	say(t, a, "hello")
	wantText(t, b, "hello")
	say(t, b, "hello yourself")
	wantText(t, a, "hello yourself")
	if err := a.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	t.Log(a.Timeline())
	t.Log(b.Timeline())
	t.Log(a.Path(), a.Stats(), a.SafetyCode())
	if a.SafetyCode() != b.SafetyCode() {
		t.Errorf("codes %s, %s", a.SafetyCode(), b.SafetyCode())
	}
	a.Close()
	<-b.Done()
	if !errors.Is(b.Err(), ErrHangup) {
		t.Errorf("bob's call ended with %v", b.Err())
	}
}
