package redis

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/user"
	"github.com/sigctl/sigctl/pkg/user/usertest"
)

func (s testServer) openPlain(t *testing.T) user.PlainStore {
	t.Helper()
	return s.open(t, &Options{Plaintext: true}).(user.PlainStore)
}

// somewhere is a client of which nothing is known.
var somewhere = limit.Client{Standing: limit.Neutral}

func newAuth(store user.Store) *user.Authenticator {
	return user.NewAuthenticator(store, &user.AuthOptions{Params: user.MinimalParams})
}

// wantLogin checks that the password is right, or if !good, wrong.
func wantLogin(t *testing.T, store user.Store, name, password string, good bool) {
	t.Helper()
	var want error
	if !good {
		want = user.ErrBadCredentials
	}
	if got := newAuth(store).Authenticate(t.Context(), name, password, somewhere); got != want {
		t.Errorf("login of %s with %.20q: %v, want %v", name, password, got, want)
	}
}

func testPlainOff(t *testing.T, s testServer) {
	s.do(t, "SET user1 password1")
	store := s.open(t, nil)
	if _, ok := store.(user.PlainStore); ok {
		t.Error("without the option the store reads plain passwords")
	}
	wantLogin(t, store, "user1", "password1", false)
	if err := store.Delete(t.Context(), "user1"); !errors.Is(err, user.ErrNotFound) {
		t.Errorf("Delete: %v, want %v", err, user.ErrNotFound)
	}
	s.wantKeys(t, "user1")
}

func testPlainAdopted(t *testing.T, s testServer) {
	s.do(t, "SET user1 password1")
	store := s.openPlain(t)
	wantLogin(t, store, "user1", "password2", false)
	s.wantKeys(t, "user1")
	wantLogin(t, store, "user1", "password1", true)
	s.wantKeys(t, "sigctl:user:user1")
	wantLogin(t, store, "user1", "password1", true)
	wantLogin(t, store, "user1", "password2", false)
	wantLogin(t, s.open(t, nil), "user1", "password1", true)
}

// testPlainRules has keys that are no passwords.
func testPlainRules(t *testing.T, s testServer) {
	hash := usertest.NewUser(t, "x").Hash
	s.do(t, "SET hashed "+hash)
	s.do(t, "SET dollar $1")
	s.do(t, "LPUSH list x")
	s.do(t, "HSET hash hash "+hash)
	s.do(t, "SET sigctl:user x")
	s.do(t, "SET long "+strings.Repeat("x", user.MaxPassword+1))
	if err := s.raw.Set(t.Context(), "empty", "", 0).Err(); err != nil {
		t.Fatal(err)
	}
	keys := []string{"dollar", "empty", "hash", "hashed", "list", "long", "sigctl:user"}
	store := s.openPlain(t)
	for _, name := range keys {
		for _, password := range []string{hash, "$1", "x", "", strings.Repeat("x", user.MaxPassword)} {
			wantLogin(t, store, name, password, false)
		}
		if _, _, err := store.Lookup(t.Context(), name); !errors.Is(err, user.ErrNotFound) {
			t.Errorf("Lookup(%s): %v, want %v", name, err, user.ErrNotFound)
		}
		if err := store.Delete(t.Context(), name); !errors.Is(err, user.ErrNotFound) {
			t.Errorf("Delete(%s): %v, want %v", name, err, user.ErrNotFound)
		}
	}
	s.wantKeys(t, keys...)

	longest := strings.Repeat("x", user.MaxPassword)
	s.do(t, "SET longest "+longest)
	wantLogin(t, store, "longest", longest, true)
}

func testPlainOursWins(t *testing.T, s testServer) {
	s.do(t, "SET alice by-hand")
	store := s.openPlain(t)
	usertest.Add(t, store, "alice")
	wantLogin(t, store, "alice", "by-hand", false)
	wantLogin(t, store, "alice", "password of alice", true)
	s.wantKeys(t, "alice", "sigctl:user:alice")
}

// testPlainAdoptRules: what changed since the look-up is left as it is.
func testPlainAdoptRules(t *testing.T, s testServer) {
	store := s.openPlain(t)
	adopt := func(plain string) {
		t.Helper()
		if err := store.Adopt(t.Context(), usertest.NewUser(t, "alice"), plain); err != nil {
			t.Errorf("Adopt: %v", err)
		}
	}
	adopt("gone")
	s.wantKeys(t)
	s.do(t, "SET alice changed")
	adopt("by-hand")
	s.wantKeys(t, "alice")
	alice := usertest.Add(t, store, "alice")[0]
	adopt("changed")
	s.wantKeys(t, "alice", "sigctl:user:alice")
	usertest.Want(t, store, alice)
}

func testPlainDelete(t *testing.T, s testServer) {
	s.do(t, "SET alice by-hand")
	s.do(t, "SET bob by-hand")
	store := s.openPlain(t)
	usertest.Add(t, store, "alice")
	for _, name := range []string{"alice", "bob"} {
		if err := store.Delete(t.Context(), name); err != nil {
			t.Errorf("Delete(%s): %v", name, err)
		}
		wantLogin(t, store, name, "by-hand", false)
	}
	s.wantKeys(t)
}

// testPlainClaim: a plain password has its name, and one that is set by hand under
// a name that has an owner lets nobody in.
func testPlainClaim(t *testing.T, s testServer) {
	const issuer = "oidc:https://login.example.com"
	store := s.openPlain(t)
	s.do(t, "SET alice by-hand")
	if u, err := store.Claim(t.Context(), "alice", issuer); !errors.Is(err, user.ErrSource) {
		t.Errorf("Claim of a plain password's name = %+v, %v, want %v", u, err, user.ErrSource)
	}
	wantLogin(t, store, "alice", "by-hand", true)
	if u, err := store.Claim(t.Context(), "alice", issuer); !errors.Is(err, user.ErrSource) {
		t.Errorf("Claim of an adopted password's name = %+v, %v, want %v", u, err, user.ErrSource)
	}

	bob, err := store.Claim(t.Context(), "bob", issuer)
	if err != nil {
		t.Fatal(err)
	}
	s.do(t, "SET bob by-hand")
	wantLogin(t, store, "bob", "by-hand", false)
	if again, err := store.Claim(t.Context(), "bob", issuer); err != nil || again != bob {
		t.Errorf("second Claim = %+v, %v, want %+v", again, err, bob)
	}
	s.wantKeys(t, "bob", "sigctl:user:alice", "sigctl:user:bob")

	s.do(t, "LPUSH carol x") // is no password
	if _, err := store.Claim(t.Context(), "carol", issuer); err != nil {
		t.Errorf("Claim of a free name: %v", err)
	}
	s.do(t, "SET dave by-hand")
	if _, err := s.open(t, nil).Claim(t.Context(), "dave", issuer); err != nil {
		t.Errorf("Claim without the option: %v", err)
	}
}

// testPlainTwoLogins: all who come at once with the right password get in.
func testPlainTwoLogins(t *testing.T, s testServer) {
	s.do(t, "SET alice by-hand")
	store := s.openPlain(t)
	auth := newAuth(store)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := auth.Authenticate(t.Context(), "alice", "by-hand", somewhere); err != nil {
				t.Errorf("login: %v", err)
			}
		})
	}
	wg.Wait()
	s.wantKeys(t, "sigctl:user:alice")
}
