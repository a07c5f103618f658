package signal

import (
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// brief is a room token of user1 that expires in so many seconds.
func (as *accessServer) brief(seconds int, permissions ...string) string {
	as.t.Helper()
	text, _, err := as.IssueRoomToken(as.t.Context(), "user1", "team", append([]string{protocol.PermJoin}, permissions...), time.Duration(seconds)*time.Second)
	if err != nil {
		as.t.Fatal(err)
	}
	return text
}

func TestSessionExpires(t *testing.T) {
	as := newAccessServer(t)
	c := as.loginWith(as.brief(1))
	login := c.want(`{"type":"login","success":true}`)
	notice := c.want(`{"type":"expiring"}`)
	if notice["expires"] != login["expires"] || notice["expires"] == nil {
		t.Errorf("expiring says %v, the login said %v", notice["expires"], login["expires"])
	}
	c.wantClose(int(protocol.CloseExpired))
}

// A session that is refreshed goes on, with what the new token permits, and is told
// again before the new end.
func TestRefresh(t *testing.T) {
	as := newAccessServer(t)
	c, other := as.loginWith(as.brief(2, protocol.PermData)), as.joinRoom("user2", "team")
	c.want(`{"type":"login","success":true,"permissions":["join","data"]}`)
	first := c.want(`{"type":"expiring"}`)
	text := as.brief(3)
	c.send(`{"type":"refresh","id":"r","token":"` + text + `"}`)
	reply := c.want(`{"type":"login","ref":"r","success":true,"name":"user1","room":"team","permissions":["join"]}`)
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
}
