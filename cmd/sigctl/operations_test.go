package main

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// Many who ask at once, or soon after another, are one try.
func TestReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		var verdict error
		r := &readiness{ctx: t.Context(), try: func(ctx context.Context) error {
			tries++
			if end, ok := ctx.Deadline(); !ok || time.Until(end) != readyTimeout {
				t.Errorf("the try ends at %v, want in %v", end, readyTimeout)
			}
			time.Sleep(readyTimeout / 2) // of the bubble's clock
			return verdict
		}}
		ask := func(code int, body string) {
			t.Helper()
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
			if w.Code != code || w.Body.String() != body {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, code, body)
			}
		}
		done := make(chan struct{})
		const askers = 100
		for range askers {
			go func() { ask(200, "ready\n"); done <- struct{}{} }()
		}
		for range askers {
			<-done
		}
		ask(200, "ready\n")
		if tries != 1 {
			t.Errorf("%d tries, want 1", tries)
		}
		verdict = errors.New("the relay is\ndraining")
		ask(200, "ready\n") // as it was a moment ago
		time.Sleep(readyFor)
		ask(503, "the relay is; draining\n")
		verdict = nil
		time.Sleep(readyFor)
		ask(200, "ready\n")
		if tries != 3 {
			t.Errorf("%d tries, want 3", tries)
		}
	})
}
