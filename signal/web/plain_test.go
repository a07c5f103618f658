//go:build integration

package web

import (
	"fmt"
	"testing"

	"github.com/sigctl/sigctl/signal/web/webtest"
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
	t.Parallel()
	for _, tt := range []struct {
		name   string
		call   func(alice, tutor *webtest.Person)
		closes bool // its channel, at the end
	}{
		{"it calls", func(_, tutor *webtest.Person) { webtest.Eval[any](tutor, `callAlice()`) }, false},
		{"it is called", func(alice, _ *webtest.Person) { alice.Write("#find-name", "tutor\r") }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			tutor := newPerson(t, s, "tutor")
			webtest.Eval[any](tutor, fmt.Sprintf(`(() => {%s})()`, plainClient))
			tutor.WaitFor(`window.ready`)
			alice := newPerson(t, s, "alice", hurried(2000))
			alice.SignIn("alice-password")
			alice.WantVisible("#app")
			tt.call(alice, tutor)
			alice.WantText("#status", "Connected, direct, no receipts")
			webtest.Eval[any](tutor, `channel.send("from the tutorial")`)
			alice.WantHeard("from the tutorial")
			alice.Say("from the page")
			tutor.WaitFor(`heard.includes("from the page")`)
			if tt.closes {
				webtest.Eval[any](tutor, `void channel.close()`)
				alice.WantEnded("tutor hung up.")
			} else {
				alice.Click("#hangup")
			}
			tutor.WaitFor(`window.left`)
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
