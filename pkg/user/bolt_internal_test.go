package user

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"
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

// TestBoltOldRecord: what was stored before there were sources is the password's.
func TestBoltOldRecord(t *testing.T) {
	b := newBolt(t)
	hash, err := Hash("secret", MinimalParams)
	if err != nil {
		t.Fatal(err)
	}
	err = b.update(t.Context(), func(users *bbolt.Bucket) error {
		return users.Put([]byte("alice"), []byte(`{"name":"alice","hash":"`+hash+`","created":"2026-01-02T03:04:05Z"}`))
	})
	if err != nil {
		t.Fatal(err)
	}
	want := User{Name: "alice", Hash: hash, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Source: SourcePassword}
	if got, err := b.Get(t.Context(), "alice"); err != nil || got != want {
		t.Errorf("Get = %+v, %v, want %+v", got, err, want)
	}
	if err := NewAuthenticator(b, minimal).Authenticate(t.Context(), "alice", "secret", somewhere); err != nil {
		t.Errorf("login: %v, want no error", err)
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
