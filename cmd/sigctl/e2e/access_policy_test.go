//go:build integration

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sigctl/sigctl/signal/web/webtest"
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

// noteFrames makes a page note what it sends to the server.
const noteFrames = `
	window.sentFrames = [];
	const send = WebSocket.prototype.send;
	WebSocket.prototype.send = function (data) { window.sentFrames.push(data); return send.call(this, data); };`

// In a room that is relayed only, no page says an address but the relay's.
func TestRelayOnlyRoomOfPages(t *testing.T) {
	t.Parallel()
	path := write(t, t.TempDir(), "policy.yaml", "rules:\n  - {users: [user1, user2], rooms: [lobby], allow: [join, data]}\nrooms:\n  - {room: lobby, ice: relay}\n")
	s := serveForBrowser(t, "--demo", "--policy", path)
	var people []*webtest.Person
	for browser, name := range map[*webtest.Lazy]string{&chromium: "user1", &firefox: "user2"} {
		p := browser.Person(t, name, noteFrames)
		p.Navigate("https://" + s.addr() + "/")
		people = append(people, s.signedIn(p))
	}
	people[0].Call(people[1].Name)
	for _, p := range people {
		wantPagePath(p, "relayed")
		wantNoAddress(p)
	}
}

var (
	candidate = regexp.MustCompile(`candidate:[^"\\]*`)
	relayOnly = regexp.MustCompile(` typ relay raddr (0\.0\.0\.0|::) rport 0( |$)`)
	address   = regexp.MustCompile(`(c=IN|a=rtcp:\d+ IN) IP[46] [^"\\]*|[-0-9a-f]+\.local`)
)

// wantNoAddress checks all candidates and descriptions that a page has sent.
func wantNoAddress(p *webtest.Person) {
	p.T.Helper()
	all := strings.Join(webtest.Eval[[]string](p, "sentFrames"), "\n")
	found := candidate.FindAllString(all, -1)
	if len(found) == 0 {
		p.T.Errorf("%s has sent no candidates: %s", p.Name, all)
	}
	for _, c := range found {
		if !relayOnly.MatchString(c) {
			p.T.Errorf("%s has sent %q, want a relay's, without a related address", p.Name, c)
		}
	}
	for _, a := range address.FindAllString(all, -1) {
		if a != "c=IN IP4 0.0.0.0" {
			p.T.Errorf("%s has sent %q, want no address", p.Name, a)
		}
	}
}
