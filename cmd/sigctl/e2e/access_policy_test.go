//go:build integration

package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// replace renames a new file over the one at path, as a careful editor does.
func replace(t *testing.T, path, content string) {
	t.Helper()
	next := write(t, filepath.Dir(path), filepath.Base(path)+".next", content)
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// A policy that is replaced holds from then on, without a restart; one that cannot
// be read changes nothing.
func TestPolicyFollowed(t *testing.T) {
	t.Parallel()
	const lobby = "rules:\n  - {users: [alice], rooms: [lobby], allow: [join, data]}\n"
	const team = lobby + "  - {users: [alice], rooms: [team], allow: [join, data]}\nrooms:\n  - {room: team, ice: relay, max: 1}\n"
	path := write(t, t.TempDir(), "policy.yaml", lobby)
	s := startServe(t, "--policy", path)
	s.add("alice")
	c := s.local(t)
	access := c.accessToken("alice")
	wantAllowed := func() {
		t.Helper()
		if answer := c.want("GET", "/api/rooms/join?room=team", access, nil); answer["iceTransportPolicy"] != "relay" {
			t.Errorf("the room's policy is %v, want relay", answer["iceTransportPolicy"])
		}
	}

	login := message{"name": "alice", "password": s.passwords["alice"], "room": "team"}
	c.wantCode("forbidden", "GET", "/api/rooms/join?room=team", access, nil)
	c.wantRefused("forbidden", login)

	replace(t, path, team)
	s.wantStatus(`msg="the policy has changed"`)
	wantAllowed()
	alice, _ := c.signIn(login)
	s.wantListed("rooms", `team +1 +1 +relay`)

	replace(t, path, "rules: [")
	s.wantStatus(`the old one stays`)
	wantAllowed()

	replace(t, path, lobby)
	s.wantStatus(`msg="the policy has changed"`)
	c.wantCode("forbidden", "GET", "/api/rooms/join?room=team", access, nil)
	c.wantRefused("forbidden", login)
	alice.wantAlive() // who is in stays

	until(t, "all three are on record", func() bool { return s.count("policy_reload ok")+s.count("policy_reload refused") >= 3 })
	if n := s.count("policy_reload ok"); n != 2 {
		t.Errorf("the record has %d changes of the policy, want 2", n)
	}
	s.wantRecorded(1, "policy_reload refused", path)
}
