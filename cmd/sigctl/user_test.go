package main

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sigctl/sigctl/pkg/user"
)

// A name of another source than the password: who changes it is told whose it is,
// before a password is asked for.
func TestUserOfAnotherSource(t *testing.T) {
	store, err := user.OpenBolt(filepath.Join(t.TempDir(), "users.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	u, err := store.Claim(t.Context(), "alice", user.SourceOIDC+"https://login.example.com")
	if err == nil {
		err = store.Revoke(t.Context(), "alice", time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC))
	}
	if err != nil {
		t.Fatal(err)
	}
	created, day := u.Created.Format(time.RFC3339), u.Created.Format(time.DateOnly)
	run := func(f func(*userOptions, stdio) error) string {
		var b bytes.Buffer
		if err := f(&userOptions{}, stdio{out: &b, err: &b}); err != nil { // without an input
			report(&b, err)
		}
		return b.String()
	}
	for name, c := range map[string]struct{ got, want string }{
		"add": {
			run(func(o *userOptions, std stdio) error { return runUserAdd(t.Context(), o, store, "alice", std) }),
			"sigctl: user exists already: alice, and belongs to oidc:https://login.example.com\n" +
				"hint: sigctl user del alice takes the name from there\n",
		},
		"passwd": {
			run(func(o *userOptions, std stdio) error { return runUserPasswd(t.Context(), o, store, "alice", std) }),
			"sigctl: alice has no password: the name belongs to oidc:https://login.example.com\n" +
				"hint: sigctl user del alice takes the name from there, sigctl user add alice then gives it a password\n",
		},
		"list": {
			run(func(o *userOptions, std stdio) error { return runUserList(t.Context(), o, store, std) }),
			"alice  " + day + "  oidc:https://login.example.com, revoked until 2031-02-03T04:05:06Z\n",
		},
		"list --json": {
			run(func(o *userOptions, std stdio) error { o.json = true; return runUserList(t.Context(), o, store, std) }),
			`{"name":"alice","created":"` + created + `","source":"oidc:https://login.example.com","revoked":"2031-02-03T04:05:06Z"}` + "\n",
		},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
