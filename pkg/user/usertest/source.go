package usertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/user"
)

// Two issuers and a CA, of which an error must not tell more than the kind.
const (
	issuer  = user.SourceOIDC + "https://login.example.com/tenant"
	issuer2 = user.SourceOIDC + "https://login.example.org"
	ca      = user.SourceCA + "00ff"
)

func claim(t *testing.T, s user.Store, name, source string) user.User {
	t.Helper()
	u, err := s.Claim(t.Context(), name, source)
	if err != nil {
		t.Fatalf("Claim(%s, %s): %v", name, source, err)
	}
	return u
}

// wantTaken checks that source cannot have the name, and that the error does not
// tell which issuer or CA can.
func wantTaken(t *testing.T, s user.Store, name, source, how string) {
	t.Helper()
	got, err := s.Claim(t.Context(), name, source)
	want := fmt.Sprintf("name belongs to another source: %q signs in with %s", name, how)
	if !errors.Is(err, user.ErrSource) || err.Error() != want || got != (user.User{}) {
		t.Errorf("Claim(%s, %s) = %+v, %v, want the error %q", name, source, got, err, want)
	}
}

// testSourceless: a user without a source is the password's.
func testSourceless(t *testing.T, s user.Store) {
	u := NewUser(t, "alice")
	u.Source = ""
	if err := s.Add(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	u.Source = user.SourcePassword
	Want(t, s, u)
	wantList(t, s, u)
	wantTaken(t, s, "alice", issuer, "a password")
}

func testClaim(t *testing.T, s user.Store) {
	before := time.Now().Truncate(time.Second)
	for _, c := range []struct{ name, source string }{
		{"alice", issuer},
		{"bob", ca},
		{"carol", user.SourceToken},
		{"dave", user.SourceOIDC + strings.Repeat("x", 507)},
		{"eve", user.SourceOIDC + strings.Repeat("<", 507)}, // six bytes each in JSON
	} {
		u := claim(t, s, c.name, c.source)
		if u.Name != c.name || u.Source != c.source || u.Hash != "" || u.Created.Before(before) || !u.Revoked.IsZero() {
			t.Errorf("Claim(%s, %.20s) = %+v, want a user of that source, made now", c.name, c.source, u)
		}
		Want(t, s, u)
		if again := claim(t, s, c.name, c.source); again != u {
			t.Errorf("second Claim(%s) = %+v, want %+v", c.name, again, u)
		}
	}
}

func testClaimInvalid(t *testing.T, s user.Store) {
	for _, c := range []struct{ name, source string }{
		{"", issuer}, {"a b", issuer}, {"a/b", issuer}, {strings.Repeat("x", 10_000), issuer},
		{"x", ""}, {"x", user.SourcePassword}, {"x", "ldap:x"}, {"x", "oidc"}, {"x", user.SourceOIDC}, {"x", user.SourceCA},
		{"x", "token:x"}, {"x", "Token"}, {"x", issuer + " "}, {"x", issuer + "\n"}, {"x", issuer + "é"},
		{"x", user.SourceOIDC + strings.Repeat("x", 508)}, {"x", user.SourceOIDC + strings.Repeat("x", 1_000_000)},
	} {
		_, err := s.Claim(t.Context(), c.name, c.source)
		wantError(t, fmt.Sprintf("Claim(%.20q, %.20q)", c.name, c.source), err, user.ErrInvalid)
	}
	withHash := NewUser(t, "x")
	withHash.Source = issuer
	wantError(t, "Add of another source's user with a hash", s.Add(t.Context(), withHash), user.ErrInvalid)
	wantList(t, s)
}

// testClaimTaken: whoever has a name keeps it, and nothing changes.
func testClaimTaken(t *testing.T, s user.Store) {
	alice := claim(t, s, "alice", issuer)
	bob := claim(t, s, "bob", ca)
	carol := claim(t, s, "carol", user.SourceToken)
	dave := Add(t, s, "dave")[0]
	wantTaken(t, s, "alice", issuer2, "an OIDC token")
	wantTaken(t, s, "alice", ca, "an OIDC token")
	wantTaken(t, s, "bob", issuer, "a client certificate")
	wantTaken(t, s, "carol", issuer, "a token of ours alone")
	wantTaken(t, s, "dave", issuer, "a password")
	wantTaken(t, s, "dave", user.SourceToken, "a password")
	wantError(t, "Add", s.Add(t.Context(), NewUser(t, "alice")), user.ErrExists)
	wantError(t, "Add", s.Add(t.Context(), alice), user.ErrExists)
	wantError(t, "SetHash", s.SetHash(t.Context(), "alice", dave.Hash), user.ErrSource)
	wantList(t, s, alice, bob, carol, dave)
}

// testClaimFreed: a deleted user's name is for the next who comes.
func testClaimFreed(t *testing.T, s user.Store) {
	Add(t, s, "alice")
	for _, source := range []string{issuer, ca} {
		if err := s.Delete(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		Want(t, s, claim(t, s, "alice", source))
	}
	if err := s.Delete(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	Want(t, s, Add(t, s, "alice")[0])
}

// testClaimRace: of many sources that claim one name, one has it, as often as it
// comes.
func testClaimRace(t *testing.T, s user.Store) {
	const n = 32
	var users [n]user.User
	var errs [n]error
	source := func(i int) string { return fmt.Sprint(user.SourceOIDC, i%16) }
	each(n, func(i int) { users[i], errs[i] = s.Claim(t.Context(), "alice", source(i)) })
	alice, err := s.Get(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	winners := 0
	for i, err := range errs {
		if source(i) != alice.Source {
			wantError(t, "Claim by another", err, user.ErrSource)
			continue
		}
		winners++
		if err != nil || users[i] != alice {
			t.Errorf("Claim by the owner = %+v, %v, want %+v", users[i], err, alice)
		}
	}
	if winners != 2 {
		t.Errorf("%d claims were the owner's, want 2", winners)
	}
}

// testClaimAndAddRace: either the password has the name, or the issuer.
func testClaimAndAddRace(t *testing.T, s user.Store) {
	const n = 16
	for round := range 8 {
		name := fmt.Sprint("user", round)
		added, errs := NewUser(t, name), [n]error{}
		each(n, func(i int) {
			if i%2 == 0 {
				errs[i] = s.Add(t.Context(), added)
			} else {
				_, errs[i] = s.Claim(t.Context(), name, issuer)
			}
		})
		owner, err := s.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		good := 0
		for i, err := range errs {
			switch {
			case err == nil:
				good++
			case i%2 == 0:
				wantError(t, "Add", err, user.ErrExists)
			default:
				wantError(t, "Claim", err, user.ErrSource)
			}
		}
		if want := map[string]int{user.SourcePassword: 1, issuer: n / 2}[owner.Source]; good != want {
			t.Errorf("%d calls for a name of %s succeeded, want %d", good, owner.Source, want)
		}
	}
}

func testRevoke(t *testing.T, s user.Store) {
	users := []user.User{claim(t, s, "alice", issuer), Add(t, s, "bob")[0]}
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, c := range []struct{ at, want time.Time }{
		{time.Time{}, time.Time{}},
		{at.Add(999 * time.Millisecond), at},
		{at, at},
		{at.Add(-time.Second), at},
		{at.Add(time.Second).In(time.FixedZone("", -3600)), at.Add(time.Second)},
		{at.Add(-time.Hour).In(time.FixedZone("", 7200)), at.Add(time.Second)},
		{at.AddDate(1, 0, 0), at.AddDate(1, 0, 0)},
	} {
		for i := range users {
			if err := s.Revoke(t.Context(), users[i].Name, c.at); err != nil {
				t.Errorf("Revoke(%s, %v): %v", users[i].Name, c.at, err)
			}
			users[i].Revoked = c.want
			Want(t, s, users[i])
		}
	}
	wantError(t, "Revoke beyond RFC 3339", s.Revoke(t.Context(), "bob", at.AddDate(8000, 0, 0)), user.ErrInvalid)
	users[1].Hash = NewUser(t, "other").Hash
	if err := s.SetHash(t.Context(), "bob", users[1].Hash); err != nil {
		t.Fatal(err)
	}
	wantList(t, s, users...)
	if again := claim(t, s, "alice", issuer); again != users[0] {
		t.Errorf("Claim after Revoke = %+v, want %+v", again, users[0])
	}
}
