//go:build integration

package e2e

import (
	"strings"
	"testing"
	"time"
)

// token makes a room token for a name, as the administrator.
func (s *server) token(user, ttl string, args ...string) string {
	s.t.Helper()
	p := s.sigctl(append([]string{"token", "--user", user, "--ttl", ttl}, args...)...)
	p.wantExit(0)
	return strings.TrimSpace(p.out.all())
}

// A session is told a minute before its end, and is closed then.
func TestSessionExpires(t *testing.T) {
	t.Parallel()
	s := startServe(t)
	c := s.local(t)

	minute, _ := c.signIn(message{"token": s.token("alice", "62s")})
	short, reply := c.signIn(message{"token": s.token("bob", "10s")})
	expires := int64(reply["expires"].(float64))
	if notice := short.want("expiring"); notice["expires"] != reply["expires"] {
		t.Errorf("the notice is %v, want the end at %d", notice, expires)
	}
	short.wantClose(4503)
	if now := time.Now().Unix(); now < expires {
		t.Errorf("closed %d s before its end", expires-now)
	}

	notice := minute.want("expiring")
	if left := time.Until(time.Unix(int64(notice["expires"].(float64)), 0)); left > time.Minute {
		t.Errorf("told %v before the end, want a minute", left)
	}
	minute.wantAlive()
}

// A second token keeps a session beyond the end of the first, once, with what the
// second one permits.
func TestRefreshKeepsSession(t *testing.T) {
	t.Parallel()
	s := startServe(t)
	c := s.local(t)
	second, foreign := s.token("alice", "10m", "--permissions", "join"), s.token("mallory", "10m")

	kept, before := c.signIn(message{"token": s.token("alice", "20s")})
	kept.send(message{"type": "refresh", "token": foreign})
	if m := kept.want("error"); m["code"] != "forbidden" {
		t.Errorf("refresh with another user's token: %v, want forbidden", m)
	}
	kept.send(message{"type": "refresh", "token": second})
	after := kept.want("login")
	if after["success"] != true || !(after["expires"].(float64) > before["expires"].(float64)) || len(after["permissions"].([]any)) != 1 {
		t.Errorf("refresh: %v, want a later end than %v and one permission", after, before["expires"])
	}
	twin, _ := c.signIn(message{"token": s.token("bob", "20s")}) // ends no sooner than the first token
	twin.wantClose(4503)
	kept.wantAlive()
	kept.send(message{"type": "refresh", "token": second})
	if m := kept.want("error"); m["code"] != "token_replayed" {
		t.Errorf("refresh with the same token again: %v, want token_replayed", m)
	}
	c.wantRefused("token_replayed", message{"token": second})
	kept.wantAlive()
	s.wantEvent("login ok user=alice by=token room=lobby message=refresh")
}
