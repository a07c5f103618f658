//go:build integration

package web

import (
	"fmt"
	"testing"
)

// plainClient is a page as tutorials have it: no call ids, candidates one by one,
// a channel called channel1 that is opened by whoever has none yet.
const plainClient = `
	window.heard = [];
	window.pc = new RTCPeerConnection();
	window.socket = new WebSocket(location.origin.replace("http", "ws") + "/ws");
	const send = (m) => socket.send(JSON.stringify(m));
	const open = () => {
		window.channel = pc.createDataChannel("channel1");
		channel.onmessage = (event) => heard.push(event.data);
	};
	pc.ondatachannel = (event) => { event.channel.onmessage = (e) => heard.push(e.data); };
	pc.onicecandidate = ({ candidate }) => candidate && send({ type: "candidate", name: "alice", candidate });
	socket.onmessage = async ({ data }) => {
		const m = JSON.parse(data);
		if (m.type === "hello") send({ type: "login", name: "tutor", password: "tutor-password" });
		if (m.type === "login") window.ready = m.success;
		if (m.type === "offer") {
			await pc.setRemoteDescription(m.offer);
			open();
			await pc.setLocalDescription(await pc.createAnswer());
			send({ type: "answer", name: m.name, answer: pc.localDescription });
		}
		if (m.type === "answer") await pc.setRemoteDescription(m.answer);
		if (m.type === "candidate") await pc.addIceCandidate(m.candidate);
		if (m.type === "leave") window.left = true;
	};
	window.callAlice = async () => {
		open();
		await pc.setLocalDescription(await pc.createOffer());
		send({ type: "offer", name: "alice", offer: pc.localDescription });
	};`

func TestPlainClientChatsBothWays(t *testing.T) {
	for _, tt := range []struct {
		name string
		call func(alice, tutor *person)
	}{
		{"it calls", func(_, tutor *person) { eval[any](tutor, `callAlice()`) }},
		{"it is called", func(alice, _ *person) { alice.write("#find-name", "tutor\r") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			tutor := newPerson(t, s, "tutor")
			eval[any](tutor, fmt.Sprintf(`(() => {%s})()`, plainClient))
			tutor.waitFor(`window.ready`)
			alice := signedIn(t, s, "alice")[0]
			tt.call(alice, tutor)
			alice.wantText("status", "Connected, direct, no receipts")
			eval[any](tutor, `channel.send("from the tutorial")`)
			alice.wantHeard("from the tutorial")
			alice.say("from the page")
			tutor.waitFor(`heard.includes("from the page")`)
			alice.click("#hangup")
			tutor.waitFor(`window.left`)
			for _, m := range append(s.sent("alice", "leave"), s.sent("alice", "candidate")...) {
				if m["call"] != nil {
					t.Errorf("got %v to a plain client, want no call id", m)
				}
			}
			if got := s.sent("alice", "candidates"); len(got) > 0 {
				t.Errorf("got batched candidates to a plain client: %v", got)
			}
		})
	}
}
