package user

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/sigctl/sigctl/pkg/limit"
)

// plainStore is a Store that was filled by hand, too. A map has no time to tell.
type plainStore struct {
	Store
	mu    sync.Mutex
	plain map[string]string
}

func (s *plainStore) Lookup(ctx context.Context, name string) (User, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.Get(ctx, name)
	if plain := s.plain[name]; plain != "" && errors.Is(err, ErrNotFound) {
		return User{}, plain, nil
	}
	return u, "", err
}

func (s *plainStore) Adopt(ctx context.Context, u User, plain string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plain[u.Name] != plain {
		return nil
	}
	delete(s.plain, u.Name)
	return s.Add(ctx, u)
}

func newBolt(t testing.TB) *Bolt {
	t.Helper()
	b, err := OpenBolt(filepath.Join(t.TempDir(), "users.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func add(t testing.TB, s Store, name, password string, p Params) {
	t.Helper()
	u, err := New(name, password, p)
	if err == nil {
		err = s.Add(t.Context(), u)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// somewhere is a client of which nothing is known.
var somewhere = limit.Client{Standing: limit.Neutral}

var minimal = &AuthOptions{Params: MinimalParams, Concurrency: 2}

// TestAuthenticate also counts the hashes: each path costs one of the same
// parameters, so time does not tell one from another.
func TestAuthenticate(t *testing.T) {
	s := &plainStore{Store: newBolt(t), plain: map[string]string{"old": "by hand"}}
	add(t, s, "alice", "secret", MinimalParams)
	if _, err := s.Claim(t.Context(), "oidc", "oidc:https://login.example.com"); err != nil {
		t.Fatal(err)
	}
	a := NewAuthenticator(s, minimal)
	var costs []Params
	a.derive = func(password string, d digest) []byte {
		costs = append(costs, d.Params)
		return derive(password, d)
	}
	once := []Params{MinimalParams}
	for _, c := range []struct {
		name, password string
		want           error
		costs          []Params
	}{
		{"alice", "secret", nil, once},
		{"alice", "Secret", ErrBadCredentials, once},
		{"alice", "secret ", ErrBadCredentials, once},
		{"bob", "secret", ErrBadCredentials, once},
		{"oidc", "secret", ErrBadCredentials, once},
		{"old", "wrong", ErrBadCredentials, once},
		{"old", "by hand", nil, once}, // is adopted
		{"old", "by hand", nil, once},
		{"old", "wrong", ErrBadCredentials, once},
		{"alice", "", ErrBadCredentials, nil},
		{"alice", strings.Repeat("x", MaxPassword), ErrBadCredentials, once},
		{"alice", strings.Repeat("x", MaxPassword+1), ErrBadCredentials, nil},
		{"sigctl:user:alice", "secret", ErrBadCredentials, nil},
		{"", "secret", ErrBadCredentials, nil},
	} {
		costs = nil
		if got := a.Authenticate(t.Context(), c.name, c.password, somewhere); got != c.want {
			t.Errorf("Authenticate(%q, %.20q) = %v, want %v", c.name, c.password, got, c.want)
		}
		if !slices.Equal(costs, c.costs) {
			t.Errorf("Authenticate(%q, %.20q) cost %v, want %v", c.name, c.password, costs, c.costs)
		}
	}
	if len(s.plain) != 0 {
		t.Errorf("still in plain text: %v, want none", slices.Collect(maps.Keys(s.plain)))
	}
}

// TestAuthenticateOtherParams: a user keeps the cost of the hash's own parameters.
func TestAuthenticateOtherParams(t *testing.T) {
	s := newBolt(t)
	add(t, s, "alice", "secret", Params{Memory: 64, Time: 3, Threads: 4})
	a := NewAuthenticator(s, minimal)
	if err := a.Authenticate(t.Context(), "alice", "secret", somewhere); err != nil {
		t.Errorf("right password: %v, want no error", err)
	}
	if err := a.Authenticate(t.Context(), "alice", "other", somewhere); err != ErrBadCredentials {
		t.Errorf("wrong password: %v, want %v", err, ErrBadCredentials)
	}
}

func TestAuthenticateFailingStore(t *testing.T) {
	b := newBolt(t)
	b.Close()
	err := NewAuthenticator(b, minimal).Authenticate(t.Context(), "alice", "secret", somewhere)
	if err == nil || errors.Is(err, ErrBadCredentials) {
		t.Errorf("Authenticate = %v, want the store's error", err)
	}
}

// TestAuthenticateBounds starts more logins than may run, and more than may wait.
func TestAuthenticateBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newBolt(t)
		add(t, s, "alice", "secret", MinimalParams)
		a := NewAuthenticator(s, &AuthOptions{Params: MinimalParams, Concurrency: 2, Waiting: 3})
		var running, most atomic.Int32
		release := make(chan struct{})
		a.derive = func(password string, d digest) []byte {
			most.Store(max(most.Load(), running.Add(1)))
			<-release
			running.Add(-1)
			return derive(password, d)
		}
		results := make(chan error, 5)
		for range 5 {
			go func() { results <- a.Authenticate(context.Background(), "alice", "secret", somewhere) }()
		}
		synctest.Wait()
		if got := running.Load(); got != 2 {
			t.Errorf("%d hashes are running, want 2", got)
		}
		if err := a.Authenticate(context.Background(), "alice", "secret", somewhere); err != ErrBusy {
			t.Errorf("the sixth login: %v, want %v", err, ErrBusy)
		}
		close(release)
		for range 5 {
			if err := <-results; err != nil {
				t.Errorf("a login that waited: %v, want no error", err)
			}
		}
		if got := most.Load(); got != 2 {
			t.Errorf("%d hashes ran at once, want 2", got)
		}
		if err := a.Authenticate(context.Background(), "alice", "secret", somewhere); err != nil {
			t.Errorf("a login after the rush: %v, want no error", err)
		}
	})
}

// Wrong passwords from 80 addresses, more than may wait, cost a user who is known elsewhere a few
// hashes, and a newcomer one of each address, but nobody their place.
func TestAuthenticateInFlood(t *testing.T) {
	const addresses, each = 80, 10
	synctest.Test(t, func(t *testing.T) {
		a := NewAuthenticator(newBolt(t), &AuthOptions{Params: MinimalParams, Concurrency: 1, Waiting: 500})
		var hashed []string // passwords, by the one worker
		release := make(chan struct{})
		a.derive = func(password string, d digest) []byte {
			<-release
			hashed = append(hashed, password)
			return derive(password, d)
		}
		var attempts sync.WaitGroup
		attempt := func(password string, from netip.Addr, standing limit.Standing) {
			attempts.Go(func() {
				err := a.Authenticate(context.Background(), "alice", password, limit.Client{Addr: from, Standing: standing})
				if err != ErrBadCredentials && !(err == ErrBusy && password == "guess") {
					t.Errorf("%s: %v, want %v", password, err, ErrBadCredentials)
				}
			})
			synctest.Wait()
		}
		for n := range addresses * each {
			attempt("guess", netip.AddrFrom4([4]byte{10, byte(n % addresses), 0, 1}), limit.Neutral)
		}
		attempt("known", netip.MustParseAddr("192.0.2.1"), limit.Good)
		attempt("newcomer", netip.MustParseAddr("198.51.100.1"), limit.Neutral)
		close(release)
		attempts.Wait()
		for password, most := range map[string]int{"known": 3, "newcomer": addresses + 3} {
			if n := slices.Index(hashed, password); n < 0 || n > most {
				t.Errorf("%s is hashed after %d others, want %d at most", password, n, most)
			}
		}
	})
}

// TestAuthenticateCanceled: who gives up waiting makes room.
func TestAuthenticateCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAuthenticator(newBolt(t), &AuthOptions{Params: MinimalParams, Concurrency: 1, Waiting: 1})
		if err := a.turns.Acquire(t.Context(), somewhere); err != nil { // somebody else's
			t.Fatal(err)
		}
		for range 3 { // more than may wait
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error)
			go func() { result <- a.Authenticate(ctx, "alice", "secret", somewhere) }()
			synctest.Wait()
			cancel()
			if err := <-result; !errors.Is(err, context.Canceled) {
				t.Errorf("canceled login: %v, want %v", err, context.Canceled)
			}
		}
		a.turns.Release()
		if err := a.Authenticate(t.Context(), "alice", "secret", somewhere); err != ErrBadCredentials {
			t.Errorf("the next login: %v, want %v", err, ErrBadCredentials)
		}
	})
}

func TestNewAuthenticatorPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic for parameters out of bounds")
		}
	}()
	NewAuthenticator(newBolt(t), &AuthOptions{Params: Params{Memory: 1 << 30, Time: 1, Threads: 1}})
}

func BenchmarkAuthenticate(b *testing.B) {
	for _, c := range []struct {
		name   string
		params Params
	}{{"default", DefaultParams}, {"minimal", MinimalParams}} {
		b.Run(c.name, func(b *testing.B) {
			s := newBolt(b)
			add(b, s, "alice", "secret", c.params)
			a := NewAuthenticator(s, &AuthOptions{Params: c.params})
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := a.Authenticate(context.Background(), "alice", "secret", somewhere); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
