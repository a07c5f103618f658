package signal

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/token"
)

// issuer returns a room token of a user in the lobby that expires after ttl. Without permissions it
// holds only the one to join.
type issuer func(name string, ttl time.Duration, permissions ...string) string

// tokenBubble runs f in a synctest bubble, with a server that accepts passwords and room tokens.
func tokenBubble(t *testing.T, f func(ts *testServer, issue issuer)) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		ts := startServer(t, &Config{
			Names:  everybody{},
			Tokens: must(token.Open(t.Context(), token.FileKeys(filepath.Join(t.TempDir(), "keys.json")), token.NewMemorySpender(), nil)),
			ICEServers: func(string) ([]protocol.ICEServer, time.Time) {
				time.Sleep(time.Nanosecond) // the bubble's clock, not ours
				return nil, time.Time{}
			},
		}, l)
		ts.dial = l.dial
		defer ts.stop()
		f(ts, func(name string, ttl time.Duration, permissions ...string) string {
			permissions = append([]string{protocol.PermJoin}, permissions...)
			return must2(ts.IssueRoomToken(t.Context(), name, protocol.Lobby, permissions, ttl))
		})
	})
}

func TestSessionExpires(t *testing.T) {
	const ttl = protocol.ExpiryNotice + time.Minute
	tokenBubble(t, func(ts *testServer, issue issuer) {
		c, start := ts.connect("user1"), time.Now()
		c.send(`{"type":"login","token":"` + issue("user1", ttl) + `"}`)
		login := c.want(`{"type":"login","success":true}`)
		notice := c.want(`{"type":"expiring"}`)
		if notice["expires"] != login["expires"] || notice["expires"] == nil {
			t.Errorf("expiring says %v, the login said %v", notice["expires"], login["expires"])
		}
		if got := time.Since(start).Round(time.Second); got != ttl-protocol.ExpiryNotice {
			t.Errorf("the notice came after %v, want %v", got, ttl-protocol.ExpiryNotice)
		}
		c.wantClose(int(protocol.CloseExpired))
		if got := time.Since(start).Round(time.Second); got != ttl {
			t.Errorf("the session ended after %v, want %v", got, ttl)
		}
	})
}

// A session that is refreshed goes on, with what the new token permits, and is told
// again before the new end.
func TestRefresh(t *testing.T) {
	const ttl = protocol.ExpiryNotice / 2
	tokenBubble(t, func(ts *testServer, issue issuer) {
		c := ts.connect("user1")
		c.send(`{"type":"login","token":"` + issue("user1", ttl, protocol.PermData) + `"}`)
		c.want(`{"type":"login","success":true,"permissions":["join","data"]}`)
		first := c.want(`{"type":"expiring"}`)
		other := ts.join("user2")
		text := issue("user1", ttl+time.Second)
		c.send(`{"type":"refresh","id":"r","token":"` + text + `"}`)
		reply := c.want(`{"type":"login","ref":"r","success":true,"name":"user1","room":"lobby","permissions":["join"]}`)
		if reply["expires"].(float64) <= first["expires"].(float64) {
			t.Errorf("refreshed, the session ends at %v, before at %v", reply["expires"], first["expires"])
		}
		c.want(`{"type":"expiring"}`)
		c.send(`{"type":"offer","name":"user2","offer":{"type":"offer","sdp":"v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"}}`)
		c.wantError("forbidden", "data")
		c.send(`{"type":"refresh","id":"again","token":"` + text + `"}`)
		c.want(`{"type":"error","code":"token_replayed","ref":"again"}`)
		other.wantAlive()
		c.wantClose(int(protocol.CloseExpired))
	})
}
