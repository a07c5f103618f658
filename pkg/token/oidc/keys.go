package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxAge       = 5 * time.Minute  // of keys: after that a removed one is looked for
	staleWait    = 2 * time.Second  // for the issuer, where old keys would do
	fetchPause   = 10 * time.Second // from the end of a fetch to the next, whatever asks for one
	fetchTimeout = 10 * time.Second
	maxWaiting   = 256 // callers that wait for a fetch
)

var errCrowd = errors.New("too many wait for the issuer's keys already")

// key is one that the issuer publishes and we accept.
type key struct {
	id        string
	algorithm jose.SignatureAlgorithm
	public    any
}

// keySet has the issuer's keys. It fetches them when a token needs a key that it does not have, and when they are
// old; one fetch at a time, and then none for a pause, so that made-up key ids cause no traffic. While the issuer
// does not answer, the old keys stay.
type keySet struct {
	// set at construction
	fetch func(context.Context) (keys []key, ignored int, err error)
	log   *slog.Logger
	now   func() time.Time

	// of the fetches: close ends and awaits them
	ctx     context.Context
	cancel  context.CancelFunc
	fetches sync.WaitGroup
	seats   chan struct{} // one for each that waits

	// guarded by mu, written by run (underway by begin, too)
	mu       sync.Mutex
	keys     []key
	ignored  int
	fetched  time.Time     // when keys came; zero: never
	underway chan struct{} // closed at the end of the fetch under way; nil: there is none
	ended    time.Time     // of the last fetch
	err      error         // of the last fetch
}

func newKeySet(fetch func(context.Context) ([]key, int, error), log *slog.Logger) *keySet {
	s := &keySet{fetch: fetch, log: log, now: time.Now, seats: make(chan struct{}, maxWaiting)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// candidates returns the keys with this id, all if it is empty, and none if the issuer has no such key. An error
// means that this cannot be known.
func (s *keySet) candidates(ctx context.Context, id string) ([]key, error) {
	keys, stale := s.cached(id)
	if len(keys) > 0 {
		if stale {
			ctx, cancel := context.WithTimeout(ctx, staleWait)
			defer cancel()
			if s.refresh(ctx) == nil {
				keys, _ = s.cached(id)
			}
		}
		return keys, nil
	}
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	keys, _ = s.cached(id)
	return keys, nil
}

func (s *keySet) cached(id string) (keys []key, stale bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if id == "" || k.id == id {
			keys = append(keys, k)
		}
	}
	return keys, s.now().Sub(s.fetched) >= maxAge
}

// refresh fetches the keys, or waits for the fetch under way; in the pause after one it has that one's result.
func (s *keySet) refresh(ctx context.Context) error {
	select {
	case s.seats <- struct{}{}:
		defer func() { <-s.seats }()
	default:
		return errCrowd
	}
	done, err := s.begin()
	if done == nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-done:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// begin returns the end of the fetch under way, which it starts if it may; nil if not, and why.
func (s *keySet) begin() (done <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.underway != nil:
	case s.ctx.Err() != nil:
		return nil, net.ErrClosed
	case s.now().Sub(s.ended) < fetchPause:
		return nil, s.err
	default:
		s.underway = make(chan struct{})
		s.fetches.Go(s.run)
	}
	return s.underway, nil
}

// run is one fetch.
func (s *keySet) run() {
	ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
	defer cancel()
	keys, ignored, err := s.fetch(ctx)
	s.report(len(keys), ignored, err)

	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.keys, s.ignored, s.fetched = keys, ignored, s.now()
	}
	s.err, s.ended = err, s.now()
	close(s.underway)
	s.underway = nil
}

// report logs what a fetch changes, before it does: an outage once, however long it lasts. It is called by run, the
// only one that writes what it reads.
func (s *keySet) report(keys, ignored int, err error) {
	cause := fmt.Sprintf("%.400v", err) // which may quote an answer
	switch {
	case s.ctx.Err() != nil:
	case err != nil && s.err != nil:
		s.log.Debug("issuer still unavailable", "keys", len(s.keys), "err", cause)
	case err != nil:
		s.log.Warn("issuer unavailable, the keys from before stay", "keys", len(s.keys), "err", cause)
	case s.err != nil || s.fetched.IsZero() || keys != len(s.keys) || ignored != s.ignored:
		s.log.Info("issuer's keys read", "keys", keys, "ignored", ignored)
	}
}

// close ends a fetch under way and waits for it. There will be no other.
func (s *keySet) close() {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.fetches.Wait()
}
