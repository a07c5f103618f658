package signal

import (
	"runtime"
	"testing"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// Nobody sees or reaches who is in another room.
func TestRoomsAreApart(t *testing.T) {
	as := newAccessServer(t)
	a, b, c := as.joinRoom("user1", "team"), as.joinRoom("user2", "team"), as.joinRoom("user3", "lobby")
	a.send(`{"type":"peers"}`)
	a.want(`{"type":"peers","peers":[{"name":"user2"}],"total":1}`)
	c.send(`{"type":"peers"}`)
	c.want(`{"type":"peers","peers":[],"total":0}`)
	d := as.joinRoom("user4", "team")
	a.want(`{"type":"joined","name":"user4","room":"team"}`)
	d.ws.Close()
	a.want(`{"type":"left","name":"user4","room":"team"}`)
	b.send(`{"type":"candidate","name":"user1","candidate":null}`)
	a.want(`{"type":"candidate","name":"user2"}`)
	c.send(`{"type":"candidate","name":"user1","candidate":null}`)
	c.wantError("peer_offline", "user1 is not here")
	c.send(`{"type":"leave","name":"user1"}`)
	c.wantError("peer_offline", "user1 is not here")
	a.wantAlive()
}

// A room that is full takes nobody in, until somebody leaves, and is forgotten when
// it is empty.
func TestRoomSizeIsLimited(t *testing.T) {
	as := newAccessServer(t)
	first := as.joinRoom("user1", "small")
	second := as.loginWith(as.roomToken("user2", "small"))
	got := second.want(`{"type":"login","success":false,"code":"busy"}`)
	if got["retryAfter"] == nil {
		t.Errorf("a full room does not say when to try again: %v", got)
	}
	first.send(`{"type":"peers"}`)
	first.want(`{"type":"peers","total":0}`)
	first.ws.Close()
	as.awaitSessions(0)
	if rooms := as.Rooms(); len(rooms) != 0 {
		t.Errorf("when nobody is there, there are the rooms %+v", rooms)
	}
	as.joinRoom("user2", "small")
	if rooms := as.Rooms(); len(rooms) != 1 || rooms[0] != (RoomInfo{"small", 1, 1, ""}) {
		t.Errorf("there are the rooms %+v, want small with 1 of 1", rooms)
	}
}

// awaitSessions waits until so many are logged in.
func (as *accessServer) awaitSessions(n int) {
	as.t.Helper()
	for as.Sessions() != n {
		runtime.Gosched()
	}
}

func TestRoomDemandsRelay(t *testing.T) {
	as := newAccessServer(t)
	outsider := as.issuer.Token(map[string]any{"sub": "guest", "aud": "sigctl", "groups": []string{"staff"}})
	status, answer := as.do("GET", protocol.PathJoin+"?room=staff", outsider, "")
	if status != 200 || answer["iceTransportPolicy"] != "relay" || answer["user"] != "guest" {
		t.Fatalf("join of an outsider = %d %v, want one that demands relays", status, answer)
	}
	c := as.loginWith(answer["token"].(string))
	c.want(`{"type":"login","success":true,"name":"guest","room":"staff","permissions":["join","data"],"iceTransportPolicy":"relay"}`)
}

func TestKick(t *testing.T) {
	as := newAccessServer(t)
	a, b := as.joinRoom("user1", "team"), as.joinRoom("user2", "team")
	a.send(`{"type":"offer","name":"user2","offer":{"type":"offer","sdp":"v=0\r\n"}}`)
	b.want(`{"type":"offer","name":"user1"}`)
	if list := as.List(); len(list) != 2 || list[0].User != "user1" || list[0].Room != "team" || list[0].Method != "token" || list[0].Expires.IsZero() {
		t.Errorf("sessions are %+v", list)
	}
	as.audit.take(t)
	if !must(as.Kick("user1", "for a test", nil)) || must(as.Kick("nobody", "for a test", nil)) {
		t.Error("Kick does not say whether there was a session")
	}
	events := as.audit.take(t)
	if len(events) == 0 || events[0].Kind != "kick" || events[0].User != "user1" || events[0].Actor != "admin" || events[0].Session == "" {
		t.Errorf("audit holds %+v, want a kick of user1", events)
	}
	a.wantClose(int(protocol.CloseKicked))
	b.want(`{"type":"leave","name":"user1","reason":"disconnected"}`)
}
