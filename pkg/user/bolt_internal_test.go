package user

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestBoltListMax(t *testing.T) {
	b := newBolt(t)
	b.listMax = 2
	add(t, b, "a", "secret", MinimalParams)
	add(t, b, "b", "secret", MinimalParams)
	if _, err := b.List(t.Context()); err != nil {
		t.Errorf("List of 2: %v, want no error", err)
	}
	add(t, b, "c", "secret", MinimalParams)
	if _, err := b.List(t.Context()); !errors.Is(err, ErrTooMany) {
		t.Errorf("List of 3: %v, want %v", err, ErrTooMany)
	}
}

// TestBoltWaitCanceled: who waits for another's write can give up.
func TestBoltWaitCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBolt(t)
		b.writer <- struct{}{}
		ctx, cancel := context.WithCancel(t.Context())
		waited := make(chan error)
		go func() { waited <- b.Delete(ctx, "alice") }()
		synctest.Wait()
		cancel()
		if err := <-waited; !errors.Is(err, context.Canceled) {
			t.Errorf("Delete: %v, want %v", err, context.Canceled)
		}
		<-b.writer
	})
}
