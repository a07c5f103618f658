package signal

import (
	"strings"
	"testing"
)

// The plain form of the protocol, as countless tutorials' pages speak it.
func TestPlainClients(t *testing.T) {
	ts := newTestServer(t, nil)
	a := ts.connect("a")
	a.send(`{"type":"offer","name":"user2","offer":{"type":"offer","sdp":"v=0\r\n"}}`)
	a.wantError("unauthenticated", "You are not authenticated")
	a.send(`{"type":"login","name":"user1","password":"wrong"}`)
	a.want(`{"type":"login","success":false,"code":"bad_credentials"}`)
	a.send(`{"type":"login","name":"nobody","password":"wrong"}`)
	a.want(`{"type":"login","success":false,"code":"bad_credentials","message":"wrong user name or password"}`)
	a.send(`{"type":"login","name":"user1","password":"password1"}`)
	a.want(`{"type":"login","success":true}`)

	again := ts.connect("again")
	again.send(`{"type":"login","name":"user1","password":"password1"}`)
	again.want(`{"type":"login","success":false,"code":"already_logged_in"}`)

	b := ts.join("user2")
	a.send(`{"type":"offer","name":"user2","offer":{"type":"offer","sdp":"v=0\r\n"}}`)
	b.want(`{"type":"offer","name":"user1","offer":{"type":"offer","sdp":"v=0\r\n"}}`)
	b.send(`{"type":"answer","name":"user1","answer":{"type":"answer","sdp":"v=0\r\n"}}`)
	a.want(`{"type":"answer","name":"user2","answer":{"type":"answer","sdp":"v=0\r\n"}}`)
	a.send(`{"type":"candidate","name":"user2","candidate":{"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMid":"0","sdpMLineIndex":0}}`)
	b.want(`{"type":"candidate","name":"user1","candidate":{"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMid":"0","sdpMLineIndex":0}}`)
	a.send(`{"type":"dance"}`)
	a.wantError("unknown_type", "Command not found: dance")
	a.send(`{"type":"leave","name":"user2"}`)
	b.want(`{"type":"leave","name":"user1"}`)

	b.send(`{"type":"offer","name":"user1","offer":{"type":"offer","sdp":"v=0\r\n"}}`)
	a.want(`{"type":"offer","name":"user2"}`)
	b.ws.NetConn().Close() // no close frame: the connection dies
	a.want(`{"type":"leave","name":"user2","reason":"disconnected"}`)
	a.send(`{"type":"offer","id":"x","name":"user2","offer":{"type":"offer","sdp":"v=0\r\n"}}`)
	got := a.wantError("peer_offline", "user2 is not here")
	if got["ref"] != "x" || got["name"] != "user2" {
		t.Errorf("error names ref %v and name %v, want x and user2", got["ref"], got["name"])
	}
}

func TestDirectCall(t *testing.T) {
	const id = "AAECAwQFBgcICQoLDA0ODw"
	ts := newTestServer(t, nil)
	a, b := ts.join("user1"), ts.join("user2")
	a.send(`{"type":"offer","name":"user2","call":"` + id + `","permissions":["admin"],"offer":{"type":"offer","sdp":"v=0\r\n"}}`)
	b.want(`{"type":"offer","name":"user1","call":"` + id + `","permissions":["join","data","publish","subscribe"],"seq":2}`)
	b.send(`{"type":"candidates","name":"user1","call":"` + id + `","candidates":[{"candidate":"c"},null]}`)
	a.want(`{"type":"candidates","name":"user2","call":"` + id + `","candidates":[{"candidate":"c"},null],"seq":2}`)
	for _, kind := range []string{"ringing", "accept", "renegotiate"} {
		b.send(`{"type":"` + kind + `","name":"user1","call":"` + id + `"}`)
		a.want(`{"type":"` + kind + `","name":"user2","call":"` + id + `"}`)
	}
	b.send(`{"type":"reject","name":"user1","call":"` + id + `","reason":"declined"}`)
	a.want(`{"type":"reject","name":"user2","call":"` + id + `","reason":"declined"}`)

	a.send(`{"type":"offer","name":"user2","call":"` + id + `","offer":{"type":"offer","sdp":"v=0\r\n"}}`)
	b.want(`{"type":"offer"}`)
	a.send(`{"type":"leave"}`)
	b.want(`{"type":"leave","name":"user1","call":"` + id + `"}`)
}

func TestPresenceIsForThoseWhoAsk(t *testing.T) {
	ts := newTestServer(t, nil)
	watcher, other := ts.join("user1"), ts.join("user2")
	watcher.send(`{"type":"peers","id":"p"}`)
	watcher.want(`{"type":"peers","ref":"p","peers":[{"name":"user2"}],"total":1}`)
	third := ts.join("user3")
	watcher.want(`{"type":"joined","name":"user3","room":"lobby"}`)
	third.ws.NetConn().Close()
	watcher.want(`{"type":"left","name":"user3","room":"lobby","reason":"lost"}`)
	other.wantAlive() // and has heard of none of this
}

func TestCandidatesAreBounded(t *testing.T) {
	ts := newTestServer(t, &Config{Rates: unbounded})
	a, b := ts.join("user1"), ts.join("user2")
	batch := func(n int) string {
		return `{"type":"candidates","name":"user2","candidates":[null` + strings.Repeat(",null", n-1) + `]}`
	}
	a.send(`{"type":"offer","name":"user2","offer":{"type":"offer","sdp":"v=0\r\n"}}`)
	b.want(`{"type":"offer"}`)
	for range 8 {
		a.send(batch(32))
		b.want(`{"type":"candidates"}`)
	}
	a.send(batch(1))
	a.wantError("rate_limited", "more than 256 candidates")
	b.wantAlive()
}

// Candidates inside a description count like those that are sent before and after it. A
// second description begins anew.
func TestCandidatesInDescriptionsAreBounded(t *testing.T) {
	ts := newTestServer(t, &Config{Rates: unbounded})
	a, b := ts.join("user1"), ts.join("user2")
	offer := func(n int) string {
		sdp := `v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n` + strings.Repeat(`a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n`, n)
		return `{"type":"offer","name":"user2","offer":{"type":"offer","sdp":"` + sdp + `"}}`
	}
	const batch = `{"type":"candidates","name":"user2","candidates":[null,null]}`
	a.send(offer(257))
	a.wantError("bad_message", "offer.sdp has 257 candidates, more than 256")
	a.send(batch) // early
	b.want(`{"type":"candidates"}`)
	a.send(offer(255))
	a.wantError("rate_limited", "more than 256 candidates")
	a.send(offer(252))
	b.want(`{"type":"offer"}`)
	a.send(batch)
	b.want(`{"type":"candidates"}`)
	a.send(batch)
	a.wantError("rate_limited", "more than 256 candidates")
	a.send(offer(256))
	b.want(`{"type":"offer"}`)
	a.send(batch)
	a.wantError("rate_limited", "more than 256 candidates")
	b.wantAlive()
}

func TestRoomsAreRefused(t *testing.T) {
	ts := newTestServer(t, nil)
	a := ts.connect("a")
	a.send(`{"type":"login","name":"user1","password":"password1","room":"ops"}`)
	a.want(`{"type":"login","success":false,"code":"forbidden"}`)
	a.send(`{"type":"login","name":"user1","token":"eyJ.e30.c2ln"}`)
	a.want(`{"type":"login","success":false,"code":"bad_credentials"}`)
}
