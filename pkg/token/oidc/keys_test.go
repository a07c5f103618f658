package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func encode(t testing.TB, value any) []byte {
	t.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// slow is an issuer that takes its time; the tests that use it run in a synctest bubble.
type slow struct {
	takes   time.Duration // changed between fetches alone
	keys    []key
	fetches atomic.Int32
}

func (s *slow) fetch(ctx context.Context) ([]key, int, error) {
	s.fetches.Add(1)
	select {
	case <-time.After(s.takes):
		return s.keys, 0, nil
	case <-ctx.Done():
		return nil, 0, context.Cause(ctx)
	}
}

func newSlow(t *testing.T, takes time.Duration) (*slow, *keySet) {
	s := &slow{takes: takes, keys: []key{{id: "k", algorithm: jose.ES256}}}
	set := newKeySet(s.fetch, slog.New(slog.DiscardHandler))
	t.Cleanup(set.close)
	return s, set
}

// TestOneFetch: those that come together wait for one fetch, and all have its keys.
func TestOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer, set := newSlow(t, time.Second)
		var wg sync.WaitGroup
		for range maxWaiting {
			wg.Go(func() {
				if keys, err := set.candidates(t.Context(), "k"); len(keys) != 1 || err != nil {
					t.Errorf("got %v, %v, want one key", keys, err)
				}
			})
		}
		wg.Wait()
		if issuer.fetches.Load() != 1 {
			t.Errorf("got %d fetches, want 1", issuer.fetches.Load())
		}
	})
}

// TestCrowd: so many wait and no more, while those with a known key pass.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer, set := newSlow(t, time.Second)
		if _, err := set.candidates(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(fetchPause)
		var wg sync.WaitGroup
		for range maxWaiting {
			wg.Go(func() {
				if keys, err := set.candidates(t.Context(), "made up"); len(keys) != 0 || err != nil {
					t.Errorf("got %v, %v, want no key", keys, err)
				}
			})
		}
		synctest.Wait()
		if _, err := set.candidates(t.Context(), "made up"); !errors.Is(err, errCrowd) {
			t.Errorf("one more: got %v, want %v", err, errCrowd)
		}
		start := time.Now()
		if keys, err := set.candidates(t.Context(), "k"); len(keys) != 1 || err != nil || time.Since(start) != 0 {
			t.Errorf("known key: got %v, %v after %v, want it at once", keys, err, time.Since(start))
		}
		wg.Wait()
		if issuer.fetches.Load() != 2 {
			t.Errorf("got %d fetches, want 2", issuer.fetches.Load())
		}
	})
}

// TestPause: however often a key is asked for that is not there, fetches are fetchPause apart.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer, set := newSlow(t, 0)
		for range 60 {
			set.candidates(t.Context(), "made up")
			time.Sleep(time.Second)
		}
		if issuer.fetches.Load() != 6 {
			t.Errorf("got %d fetches in a minute, want 6", issuer.fetches.Load())
		}
	})
}

// TestStale: where the issuer does not answer, old keys are used after staleWait, and it is asked again.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer, set := newSlow(t, 0)
		waits := func(want time.Duration) {
			t.Helper()
			start := time.Now()
			keys, err := set.candidates(t.Context(), "k")
			if len(keys) != 1 || err != nil || time.Since(start) != want {
				t.Errorf("got %v, %v after %v, want the key after %v", keys, err, time.Since(start), want)
			}
		}
		waits(0)
		time.Sleep(maxAge)
		issuer.takes = time.Hour
		waits(staleWait)
		synctest.Wait()
		time.Sleep(fetchTimeout) // the fetch has failed
		waits(0)
		time.Sleep(fetchPause)
		waits(staleWait)
		if issuer.fetches.Load() != 3 {
			t.Errorf("got %d fetches, want 3", issuer.fetches.Load())
		}
	})
}

// TestClose: who waits is let go, and nobody waits any more.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer, set := newSlow(t, time.Hour)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := set.candidates(t.Context(), "k"); !errors.Is(err, context.Canceled) {
				t.Errorf("waiting: got %v, want %v", err, context.Canceled)
			}
		})
		synctest.Wait()
		set.close()
		wg.Wait()
		time.Sleep(time.Minute)
		if _, err := set.candidates(t.Context(), "k"); !errors.Is(err, net.ErrClosed) || issuer.fetches.Load() != 1 {
			t.Errorf("after close: got %v after %d fetches, want %v after 1", err, issuer.fetches.Load(), net.ErrClosed)
		}
		set.close()
	})
}
