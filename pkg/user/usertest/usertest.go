// Package usertest is the contract of user.Store as a test. Every implementation
// runs it:
//
//	func TestBoltStore(t *testing.T) {
//		usertest.Run(t, func(t *testing.T) user.Store { return openTestBolt(t) })
//	}
package usertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sigctl/sigctl/pkg/user"
)

// Run tests the stores that open returns. Each is to be empty and
// independent of those before it; open registers its own cleanup.
func Run(t *testing.T, open func(t *testing.T) user.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, user.Store)
	}{
		{"AddAndGet", testAddAndGet},
		{"Exists", testExists},
		{"NotFound", testNotFound},
		{"Invalid", testInvalid},
		{"SetHash", testSetHash},
		{"Sourceless", testSourceless},
		{"Claim", testClaim},
		{"ClaimInvalid", testClaimInvalid},
		{"ClaimTaken", testClaimTaken},
		{"ClaimFreed", testClaimFreed},
		{"ClaimRace", testClaimRace},
		{"ClaimAndAddRace", testClaimAndAddRace},
		{"Revoke", testRevoke},
		{"Delete", testDelete},
		{"List", testList},
		{"ListMany", testListMany},
		{"Names", testNames},
		{"AddRace", testAddRace},
		{"Canceled", testCanceled},
		{"CloseTwice", testCloseTwice},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// NewUser returns a user whose password is "password of " and the name.
func NewUser(t *testing.T, name string) user.User {
	t.Helper()
	u, err := user.New(name, "password of "+name, user.MinimalParams)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Add stores users of these names, each as NewUser makes it.
func Add(t *testing.T, s user.Store, names ...string) []user.User {
	t.Helper()
	var users []user.User
	for _, name := range names {
		u := NewUser(t, name)
		if err := s.Add(t.Context(), u); err != nil {
			t.Fatalf("Add(%s): %v", name, err)
		}
		users = append(users, u)
	}
	return users
}

// Want checks that the store has u exactly.
func Want(t *testing.T, s user.Store, u user.User) {
	t.Helper()
	got, err := s.Get(t.Context(), u.Name)
	if err != nil {
		t.Fatalf("Get(%s): %v", u.Name, err)
	}
	if diff := cmp.Diff(u, got); diff != "" {
		t.Errorf("Get(%s) differs (-want +got):\n%s", u.Name, diff)
	}
}

// WantNone checks that the store has nobody of this name.
func WantNone(t *testing.T, s user.Store, name string) {
	t.Helper()
	if got, err := s.Get(t.Context(), name); !errors.Is(err, user.ErrNotFound) {
		t.Errorf("Get(%q) = %+v, %v, want %v", name, got, err, user.ErrNotFound)
	}
}

func wantError(t *testing.T, call string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: error is %v, want %v", call, got, want)
	}
}

func testAddAndGet(t *testing.T, s user.Store) {
	alice := NewUser(t, "alice")
	alice.Created = time.Date(2031, 2, 3, 4, 5, 6, 789, time.UTC)
	if err := s.Add(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	Want(t, s, alice)
	WantNone(t, s, "Alice")
	WantNone(t, s, "alic")
}

func testExists(t *testing.T, s user.Store) {
	alice := Add(t, s, "alice")[0]
	wantError(t, "Add of the same", s.Add(t.Context(), alice), user.ErrExists)
	wantError(t, "Add of another", s.Add(t.Context(), NewUser(t, "alice")), user.ErrExists)
	Want(t, s, alice)
}

func testNotFound(t *testing.T, s user.Store) {
	hash := NewUser(t, "bob").Hash
	for _, name := range []string{"bob", "", "..", "a:b", "a/b", "*", strings.Repeat("x", 10_000)} {
		WantNone(t, s, name)
		wantError(t, "SetHash", s.SetHash(t.Context(), name, hash), user.ErrNotFound)
		wantError(t, "Revoke", s.Revoke(t.Context(), name, time.Now()), user.ErrNotFound)
		wantError(t, "Delete", s.Delete(t.Context(), name), user.ErrNotFound)
		WantNone(t, s, name)
	}
}

func testInvalid(t *testing.T, s user.Store) {
	for _, name := range []string{"", "a b", "a:b", "a/b", "sigctl:user:a", "ä", "a\x00", strings.Repeat("x", 65)} {
		u := NewUser(t, "x")
		u.Name = name
		wantError(t, fmt.Sprintf("Add(%q)", name), s.Add(t.Context(), u), user.ErrInvalid)
	}
	alice := Add(t, s, "alice")[0]
	for _, hash := range []string{"", "password", "$", alice.Hash + "\n", strings.Repeat("$", 300)} {
		u := user.User{Name: "x", Hash: hash}
		wantError(t, fmt.Sprintf("Add with hash %q", hash), s.Add(t.Context(), u), user.ErrInvalid)
		wantError(t, fmt.Sprintf("SetHash(%q)", hash), s.SetHash(t.Context(), "alice", hash), user.ErrInvalid)
	}
	wantList(t, s, alice)
}

func testSetHash(t *testing.T, s user.Store) {
	users := Add(t, s, "alice", "bob")
	users[0].Hash = NewUser(t, "other").Hash
	before := time.Now().Truncate(time.Second)
	if err := s.SetHash(t.Context(), "alice", users[0].Hash); err != nil {
		t.Fatal(err)
	}
	users[0].Revoked = revoked(t, s, "alice") // what the old password has got is void
	if at := users[0].Revoked; at.Before(before) || at.After(time.Now()) {
		t.Errorf("after SetHash what was issued until %v is void, want until now", at)
	}
	wantList(t, s, users...)
	Want(t, s, users[0])
}

func revoked(t *testing.T, s user.Store, name string) time.Time {
	t.Helper()
	u, err := s.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return u.Revoked
}

func testDelete(t *testing.T, s user.Store) {
	users := Add(t, s, "alice", "bob")
	if err := s.Delete(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	WantNone(t, s, "alice")
	wantList(t, s, users[1])
	wantError(t, "second Delete", s.Delete(t.Context(), "alice"), user.ErrNotFound)
	Want(t, s, Add(t, s, "alice")[0])
}

func testList(t *testing.T, s user.Store) {
	wantList(t, s)
	u := Add(t, s, "b", "a", "B", "a.b", "10", "9")
	wantList(t, s, u[4], u[5], u[2], u[1], u[3], u[0])
}

// testListMany spans several pages of every implementation.
func testListMany(t *testing.T, s user.Store) {
	const n = 2500
	u := NewUser(t, "x")
	want := make([]user.User, n)
	for i := range want {
		want[i] = user.User{Name: fmt.Sprintf("user%05d", i), Hash: u.Hash, Created: u.Created, Source: u.Source}
	}
	each(n, func(i int) {
		if err := s.Add(t.Context(), want[n-1-i]); err != nil {
			t.Error(err)
		}
	})
	wantList(t, s, want...)
}

func wantList(t *testing.T, s user.Store, want ...user.User) {
	t.Helper()
	got, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("List differs (-want +got):\n%s", diff)
	}
}

// testNames has the names that a path, a pattern or a query could take for
// something else.
func testNames(t *testing.T, s user.Store) {
	for _, name := range []string{".", "..", "...", "-", "+", "@", "a+b@example.com", "_", strings.Repeat("x", 64)} {
		u := Add(t, s, name)[0]
		Want(t, s, u)
		u.Hash = NewUser(t, "other").Hash
		if err := s.SetHash(t.Context(), name, u.Hash); err != nil {
			t.Errorf("SetHash(%q): %v", name, err)
		}
		u.Revoked = revoked(t, s, name)
		wantList(t, s, u)
		if err := s.Delete(t.Context(), name); err != nil {
			t.Errorf("Delete(%q): %v", name, err)
		}
		WantNone(t, s, name)
	}
}

// testAddRace: of many that add one name, one does.
func testAddRace(t *testing.T, s user.Store) {
	const n = 32
	var users [n]user.User
	var errs [n]error
	for i := range users {
		users[i] = NewUser(t, "alice")
	}
	each(n, func(i int) { errs[i] = s.Add(t.Context(), users[i]) })
	winner := slices.Index(errs[:], nil)
	if winner < 0 {
		t.Fatalf("nobody could add the user: %v", errs[0])
	}
	for i, err := range errs {
		if i != winner {
			wantError(t, "Add by another", err, user.ErrExists)
		}
	}
	Want(t, s, users[winner])
}

func testCanceled(t *testing.T, s user.Store) {
	alice := Add(t, s, "alice")[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := s.Get(ctx, "alice")
	_, listErr := s.List(ctx)
	_, claimErr := s.Claim(ctx, "bob", user.SourceToken)
	for call, err := range map[string]error{
		"Add":     s.Add(ctx, NewUser(t, "bob")),
		"Get":     getErr,
		"Claim":   claimErr,
		"Revoke":  s.Revoke(ctx, "alice", time.Now()),
		"SetHash": s.SetHash(ctx, "alice", NewUser(t, "other").Hash),
		"Delete":  s.Delete(ctx, "alice"),
		"List":    listErr,
	} {
		wantError(t, call, err, context.Canceled)
	}
	wantList(t, s, alice)
}

func testCloseTwice(t *testing.T, s user.Store) {
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// each calls f with 0 to n-1, eight at a time, and waits.
func each(n int, f func(i int)) {
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < n; i += 8 {
				f(i)
			}
		})
	}
	wg.Wait()
}
