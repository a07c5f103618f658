package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/sigctl/sigctl/pkg/user"
	"github.com/sigctl/sigctl/pkg/user/usertest"
)

// testServer is what a test needs of a Redis: one that is empty.
type testServer struct {
	url string
	raw *redis.Client // for what an administrator does by hand
}

func newMiniredis(t *testing.T) testServer {
	t.Helper()
	return newTestServer(t, miniredis.RunT(t).Addr())
}

func newTestServer(t *testing.T, addr string) testServer {
	t.Helper()
	raw := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { raw.Close() })
	return testServer{url: "redis://" + addr, raw: raw}
}

func (s testServer) open(t *testing.T, opts *Options) user.Store {
	t.Helper()
	c, err := Open(t.Context(), s.url, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.Users()
}

func (s testServer) do(t *testing.T, command string) any {
	t.Helper()
	var args []any
	for _, arg := range strings.Fields(command) {
		args = append(args, arg)
	}
	answer, err := s.raw.Do(t.Context(), args...).Result()
	if err != nil && err != redis.Nil {
		t.Fatalf("%s: %v", command, err)
	}
	return answer
}

// wantKeys takes its keys sorted.
func (s testServer) wantKeys(t *testing.T, want ...string) {
	t.Helper()
	got, err := s.raw.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("keys are %q, want %q", got, want)
	}
}

// TestMiniredis runs all that testRedis runs also against a real server.
func TestMiniredis(t *testing.T) { testRedis(t, newMiniredis) }

func testRedis(t *testing.T, newServer func(t *testing.T) testServer) {
	t.Run("Store", func(t *testing.T) {
		usertest.Run(t, func(t *testing.T) user.Store { return newServer(t).open(t, nil) })
	})
	t.Run("PlainStore", func(t *testing.T) {
		usertest.Run(t, func(t *testing.T) user.Store { return newServer(t).open(t, &Options{Plaintext: true}) })
	})
	for _, c := range []struct {
		name string
		test func(*testing.T, testServer)
	}{
		{"Layout", testLayout},
		{"OldRecord", testOldRecord},
		{"SourceWins", testSourceWins},
		{"ListSkipsOthers", testListSkipsOthers},
		{"PlainOff", testPlainOff},
		{"PlainAdopted", testPlainAdopted},
		{"PlainRules", testPlainRules},
		{"PlainOursWins", testPlainOursWins},
		{"PlainAdoptRules", testPlainAdoptRules},
		{"PlainDelete", testPlainDelete},
		{"PlainClaim", testPlainClaim},
		{"PlainTwoLogins", testPlainTwoLogins},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newServer(t)) })
	}
}

// testLayout: the keys are for other tools too, so they stay as they are.
func testLayout(t *testing.T, s testServer) {
	alice := usertest.Add(t, s.open(t, nil), "alice")[0]
	s.wantKeys(t, "sigctl:user:alice")
	if got := s.do(t, "HGET sigctl:user:alice hash"); got != alice.Hash {
		t.Errorf("hash is %v, want %s", got, alice.Hash)
	}
	if got, want := s.do(t, "HGET sigctl:user:alice created"), alice.Created.Format("2006-01-02T15:04:05Z"); got != want {
		t.Errorf("created is %v, want %s", got, want)
	}
	if _, err := s.open(t, nil).Claim(t.Context(), "bob", "ca:00ff"); err != nil {
		t.Fatal(err)
	}
	if err := s.open(t, nil).Revoke(t.Context(), "bob", alice.Created.Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]any{"source": "ca:00ff", "hash": nil, "revoked": alice.Created.Format("2006-01-02T15:04:05Z")} {
		if got := s.do(t, "HGET sigctl:user:bob "+field); got != want {
			t.Errorf("%s is %v, want %v", field, got, want)
		}
	}
}

// testOldRecord: what was stored before there were sources is the password's.
func testOldRecord(t *testing.T, s testServer) {
	hash := usertest.NewUser(t, "alice").Hash
	s.do(t, "HSET sigctl:user:alice hash "+hash+" created 2026-01-02T03:04:05Z")
	for _, store := range []user.Store{s.open(t, nil), s.openPlain(t)} {
		usertest.Want(t, store, user.User{
			Name: "alice", Hash: hash, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Source: user.SourcePassword,
		})
		wantLogin(t, store, "alice", "password of alice", true)
	}
}

// testSourceWins: a hash lets nobody in under a name of another source.
func testSourceWins(t *testing.T, s testServer) {
	s.do(t, "HSET sigctl:user:alice source ca:00ff hash "+usertest.NewUser(t, "alice").Hash)
	for _, store := range []user.Store{s.open(t, nil), s.openPlain(t)} {
		wantLogin(t, store, "alice", "password of alice", false)
	}
}

func testListSkipsOthers(t *testing.T, s testServer) {
	store := s.open(t, nil)
	alice := usertest.Add(t, store, "alice")[0]
	s.do(t, "HSET sigctl:user:a:b hash x")
	s.do(t, "HSET sigctl:user:unfinished created x")
	s.do(t, "SET sigctl:user:string x")
	s.do(t, "HSET sigctl:other:bob hash x")
	got, err := store.List(t.Context())
	if err != nil || len(got) != 1 || got[0] != alice {
		t.Errorf("List = %v, %v, want alice only", got, err)
	}
}

func TestListMax(t *testing.T) {
	store := newMiniredis(t).open(t, nil)
	store.(*users).listMax = 2
	usertest.Add(t, store, "a", "b")
	if _, err := store.List(t.Context()); err != nil {
		t.Errorf("List of 2: %v, want no error", err)
	}
	usertest.Add(t, store, "c")
	if _, err := store.List(t.Context()); !errors.Is(err, user.ErrTooMany) {
		t.Errorf("List of 3: %v, want %v", err, user.ErrTooMany)
	}
}

func TestServerGoesAndComes(t *testing.T) {
	m := miniredis.RunT(t)
	addr := m.Addr()
	store := newTestServer(t, addr).open(t, nil)
	alice := usertest.Add(t, store, "alice")[0]
	m.Close()
	_, err := store.Get(context.Background(), "alice")
	if want := "redis at " + addr + ": "; err == nil || errors.Is(err, user.ErrNotFound) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("Get without a server: %v, want %q…", err, want)
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	usertest.Want(t, store, alice)
}

// TestAddIsNotRepeated: where the answer got lost, a second try would report
// that the user exists.
func TestAddIsNotRepeated(t *testing.T) {
	m := miniredis.RunT(t)
	store := newTestServer(t, m.Addr()).open(t, nil)
	var scripts atomic.Int32
	m.Server().SetPreHook(func(c *server.Peer, command string, _ ...string) bool {
		if command == "EVALSHA" {
			scripts.Add(1)
			c.Close()
			return true
		}
		return false
	})
	if err := store.Add(t.Context(), usertest.NewUser(t, "alice")); err == nil || errors.Is(err, user.ErrExists) {
		t.Errorf("Add without an answer: %v, want an error of the connection", err)
	}
	if got := scripts.Load(); got != 1 {
		t.Errorf("Redis was asked %d times, want once", got)
	}
}
