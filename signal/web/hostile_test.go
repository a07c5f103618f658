//go:build integration

package web

import (
	"strings"
	"testing"
)

// keepChannels lets a test send on the channels of a page as a hostile peer would.
const keepChannels = `
	window.channels = {};
	const send = RTCDataChannel.prototype.send;
	RTCDataChannel.prototype.send = function (data) { channels[this.label] = this; return send.call(this, data); };`

func TestPeerThatBreaksTheProtocolEndsTheCall(t *testing.T) {
	for _, tt := range []struct{ name, send string }{
		{"confirms what was never sent", `channels.control.send('{"type":"received","n":2}')`},
		{"confirms less than before", `channels.control.send('{"type":"received","n":0}')`},
		{"confirms a fraction", `channels.control.send('{"type":"received","n":0.5}')`},
		{"says hello twice", `channels.control.send('{"type":"hello","received":0,"version":1}')`},
		{"control is not JSON", `channels.control.send("received 1")`},
		{"control is null", `channels.control.send("null")`},
		{"control is too long", `channels.control.send('{"type":"later","x":"' + "x".repeat(5000) + '"}')`},
		{"text is too long", `channels.chat.send("x".repeat(16385))`},
		{"text is too long in UTF-8", `channels.chat.send("é".repeat(8193))`},
		{"text is binary", `channels.chat.send(new Uint8Array(3))`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			people := []*person{newPerson(t, s, "mallory", keepChannels), newPerson(t, s, "alice")}
			for _, p := range people {
				p.signIn(p.name + "-password")
				p.wantVisible("app")
			}
			mallory, alice := people[0], people[1]
			alice.call(mallory)
			alice.wantText("status", "Connected, direct")
			mallory.wantText("status", "Connected, direct")
			alice.say("one")
			mallory.say("two")
			alice.waitFor(`document.querySelectorAll(".mark .received").length === 1`)
			eval[any](mallory, tt.send)
			alice.wantText("ended-text", "mallory sent something this page cannot use.")
		})
	}
}

// Types that come later in the protocol's life are no fault.
func TestUnknownControlMessageIsIgnored(t *testing.T) {
	s := newFakeServer(t)
	bob := newPerson(t, s, "bob", keepChannels)
	bob.signIn("bob-password")
	bob.wantVisible("app")
	alice := signedIn(t, s, "alice")[0]
	alice.call(bob)
	bob.wantText("status", "Connected, direct")
	eval[any](bob, `channels.control.send('{"type":"typing"}')`)
	bob.say("still here")
	alice.wantHeard("still here")
}

func TestServerThatSendsTooMuchAtOnce(t *testing.T) {
	s := newFakeServer(t)
	alice := signedIn(t, s, "alice")[0]
	for name, size := range map[string]int{"bob": 65 << 10, "carol": 63 << 10} {
		s.inject("alice", message{"type": "joined", "name": name, "padding": strings.Repeat("x", size)})
	}
	alice.wantPerson("carol")
	s.inject("alice", message{"type": "joined", "name": "dave"})
	alice.wantPerson("dave")
	alice.wantText("people-count", "2")
}

// describing makes a page describe its connections as an expression of sdp says.
func describing(expression string) string {
	return `
		const describe = Object.getOwnPropertyDescriptor(RTCPeerConnection.prototype, "localDescription").get;
		Object.defineProperty(RTCPeerConnection.prototype, "localDescription", { get() {
			const { type, sdp } = describe.call(this);
			return { type, sdp: ` + expression + ` };
		} });`
}

func TestOfferThatCannotBeTrustedIsRefused(t *testing.T) {
	for name, change := range map[string]string{
		"two certificates": `sdp.replace("a=setup", "a=fingerprint:sha-256 ` + fingerprintUp + `\r\na=setup")`,
		"media":            `sdp + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newFakeServer(t)
			mallory := newPerson(t, s, "mallory", describing(change))
			mallory.signIn("mallory-password")
			mallory.wantVisible("app")
			alice := signedIn(t, s, "alice")[0]
			mallory.call(alice)
			alice.wantText("ended-text", "The call could not be set up.")
			mallory.wantText("ended-text", "The call could not be set up.")
		})
	}
}

// Chromium can lose what is sent on a channel it was given before the first
// message has come.
func TestHelloIsNotLost(t *testing.T) {
	const deafAtFirst = `
		const send = RTCDataChannel.prototype.send;
		window.RTCPeerConnection = class extends RTCPeerConnection {
			constructor(...settings) {
				super(...settings);
				this.addEventListener("datachannel", ({ channel }) => {
					channel.send = () => {};
					channel.addEventListener("message", () => channel.send = send, { once: true });
				});
			}
		};`
	s := newFakeServer(t)
	bob := newPerson(t, s, "bob", deafAtFirst)
	bob.signIn("bob-password")
	bob.wantVisible("app")
	alice := signedIn(t, s, "alice")[0]
	alice.call(bob)
	alice.wantText("status", "Connected, direct")
	alice.say("hello")
	bob.wantHeard("hello")
	bob.say("hello to you")
	alice.wantHeard("hello to you")
}
