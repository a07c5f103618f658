package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/admin"
	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/user"
)

// dial is what commands do with the running server.
func (ts *testServer) dial() (*admin.Client, user.Store) {
	ts.t.Helper()
	c, err := admin.Dial(ts.t.Context(), ts.data.admin())
	if err != nil {
		ts.t.Fatal(err)
	}
	store, err := user.DialAdmin(ts.t.Context(), ts.data.admin())
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { c.Close(); store.Close() })
	return c, store
}

// recorded returns all that was written down.
func (ts *testServer) recorded() (events []audit.Event) {
	ts.t.Helper()
	text, err := os.ReadFile(ts.data.audit())
	if err != nil {
		ts.t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var e audit.Event
		if err := json.Unmarshal(line, &e); err != nil {
			ts.t.Fatalf("audit line %q: %v", line, err)
		}
		events = append(events, e)
	}
	return events
}

// With an audit log that cannot be written nothing is granted, but what is taken away
// is taken away.
func TestAdminWithoutAuditLog(t *testing.T) {
	ts := startPlainServer(t, nil)
	client, store := ts.dial()
	for _, name := range []string{"deleted", "changed"} {
		u, err := user.New(name, name+"-password", user.MinimalParams)
		if err == nil {
			err = store.Add(t.Context(), u)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	kicked := ts.join("user1")
	deleted, _ := ts.login("deleted", "deleted-password")
	changed, _ := ts.login("changed", "changed-password")
	ts.audit.Close() // what is recorded from now on is an error

	if _, answer := ts.login("user2", demoUsers["user2"]); answer["code"] != "internal" {
		t.Errorf("login: %v, want internal", answer)
	}
	if answer, err := adminToken.Call(t.Context(), client, tokenRequest{"user2", "lobby", []string{"join"}, time.Minute}); err == nil {
		t.Errorf("a token is issued: %+v", answer)
	}
	u, err := user.New("added", "added-password", user.MinimalParams)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Add(t.Context(), u); err == nil {
		t.Error("a user is added")
	}
	if answer, err := adminKick.Call(t.Context(), client, kickRequest{"user1"}); err != nil || !answer.Session {
		t.Errorf("kick: %+v, %v", answer, err)
	}
	wantKicked(t, kicked)
	if err := store.Delete(t.Context(), "deleted"); err != nil {
		t.Errorf("delete: %v", err)
	}
	wantKicked(t, deleted)
	hash, err := user.Hash("another-password", user.MinimalParams)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.SetHash(t.Context(), "changed", hash); err != nil {
		t.Errorf("new password: %v", err)
	}
	wantKicked(t, changed)
	if got, err := store.Get(t.Context(), "changed"); err != nil || got.Hash != hash || got.Revoked.IsZero() {
		t.Errorf("after the new password: %+v, %v", got, err)
	}
}

// Who changes the store through the admin socket leaves a trace, and ends what a kick
// ends.
func TestStoreOfTheAdminSocket(t *testing.T) {
	ts := startPlainServer(t, nil)
	_, store := ts.dial()
	session := ts.join("user1")
	if err := store.Revoke(t.Context(), "user1", time.Time{}); err != nil {
		t.Errorf("revoke: %v", err)
	}
	wantKicked(t, session)
	if _, err := store.Claim(t.Context(), "claimed", user.SourceToken); err != nil {
		t.Errorf("claim: %v", err)
	}
	for _, want := range []audit.Event{
		{Kind: audit.Revoked, User: "user1"}, {Kind: audit.Kick, User: "user1"}, {Kind: audit.Admin, User: "claimed"},
	} {
		n := 0
		for _, e := range ts.recorded() {
			if e.Kind == want.Kind && e.User == want.User && e.Actor == "admin" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("audit holds %d events %s of %s by the administrator, want 1", n, want.Kind, want.User)
		}
	}
}

// What the administrator asks for in vain changes nothing, and claims no name.
func TestAdminFaultsChangeNothing(t *testing.T) {
	ts := startPlainServer(t, nil)
	client, store := ts.dial()
	join := []string{protocol.PermJoin}
	for _, m := range []tokenRequest{
		{"ghost", "no such room!", join, time.Minute},
		{"ghost", "", join, time.Minute},
		{"ghost", "team", []string{protocol.PermData}, time.Minute},
		{"ghost", "team", nil, time.Minute},
		{"ghost", "team", []string{"join", "fly"}, time.Minute},
		{"ghost", "team", join, -1},
		{"ghost", "team", join, 0},
		{"ghost", "team", join, 24 * time.Hour},
		{"no name", "team", join, time.Minute},
	} {
		if answer, err := adminToken.Call(t.Context(), client, m); err == nil {
			t.Errorf("%+v gives a token: %+v", m, answer)
		}
		if u, err := store.Get(t.Context(), m.User); !errors.Is(err, user.ErrNotFound) {
			t.Errorf("%+v claims the name: %+v, %v", m, u, err)
		}
	}
	for _, name := range []string{"ghost", "", "ghost\n{\"event\":\"kick\"}", strings.Repeat("x", 10_000)} {
		if answer, err := adminKick.Call(t.Context(), client, kickRequest{name}); !errors.Is(err, errNothingToKick) {
			t.Errorf("kick %.20q: %+v, %v, want %v", name, answer, err, errNothingToKick)
		}
		if err := store.Revoke(t.Context(), name, time.Now()); err == nil {
			t.Errorf("revoke %.20q: no error", name)
		}
	}
	if events := ts.recorded(); len(events) > 0 {
		t.Errorf("audit holds %+v, want nothing", events)
	}
}
