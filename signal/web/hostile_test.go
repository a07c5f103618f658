//go:build integration

package web

import (
	"strings"
	"testing"

	"github.com/sigctl/sigctl/signal/web/webtest"
)

// keepChannels lets a test send on the channels of a page as a hostile peer would.
const keepChannels = `
	window.channels = {};
	const send = RTCDataChannel.prototype.send;
	RTCDataChannel.prototype.send = function (data) { channels[this.label] = this; return send.call(this, data); };`

func TestPeerThatBreaksTheProtocolEndsTheCall(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	mallory, alice := newPerson(t, s, "mallory", keepChannels), newPerson(t, s, "alice")
	for _, p := range []*webtest.Person{mallory, alice} {
		p.SignIn(p.Name + "-password")
		p.WantVisible("#app")
	}
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
		t.Log(tt.name)
		alice.Call("mallory")
		alice.WantText("#status", "Connected, direct")
		mallory.WantText("#status", "Connected, direct")
		alice.Say(tt.name)
		mallory.Say("two")
		alice.WaitFor(`[...document.querySelectorAll("#messages .ours")].at(-1).querySelector(".received")`)
		webtest.Eval[any](mallory, tt.send)
		alice.WantEnded("mallory sent something this page cannot use.")
		mallory.WantVisible("#ended")
	}
}

// Types that come later in the protocol's life are no fault.
func TestUnknownControlMessageIsIgnored(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	bob := newPerson(t, s, "bob", keepChannels)
	bob.SignIn("bob-password")
	bob.WantVisible("#app")
	alice := signedIn(t, s, "alice")[0]
	alice.Call(bob.Name)
	bob.WantText("#status", "Connected, direct")
	webtest.Eval[any](bob, `channels.control.send('{"type":"typing"}')`)
	bob.Say("still here")
	alice.WantHeard("still here")
}

func TestServerThatSendsTooMuchAtOnce(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice := signedIn(t, s, "alice")[0]
	for name, size := range map[string]int{"bob": 65 << 10, "carol": 63 << 10} {
		s.inject("alice", message{"type": "joined", "name": name, "padding": strings.Repeat("x", size)})
	}
	alice.WantPerson("carol")
	s.inject("alice", message{"type": "joined", "name": "dave"})
	alice.WantPerson("dave")
	alice.WantText("#people-count", "2")
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
	t.Parallel()
	s := newFakeServer(t)
	mallory := newPerson(t, s, "mallory", describing(`change(sdp)`))
	mallory.SignIn("mallory-password")
	mallory.WantVisible("#app")
	alice := signedIn(t, s, "alice")[0]
	for name, change := range map[string]string{
		"two certificates": `sdp.replace("a=setup", "a=fingerprint:sha-256 ` + fingerprintUp + `\r\na=setup")`,
		"media":            `sdp + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"`,
	} {
		t.Log(name)
		webtest.Eval[any](mallory, `void (window.change = (sdp) => `+change+`)`)
		mallory.Call("alice")
		alice.WantText("#find-hint", "mallory called, but no connection could be made.")
		mallory.WantEnded("The call could not be set up.")
	}
}

// Chromium can lose what is sent on a channel it was given before the first
// message has come.
func TestHelloIsNotLost(t *testing.T) {
	t.Parallel()
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
	bob.SignIn("bob-password")
	bob.WantVisible("#app")
	alice := signedIn(t, s, "alice")[0]
	alice.Call(bob.Name)
	alice.WantText("#status", "Connected, direct")
	alice.Say("hello")
	bob.WantHeard("hello")
	bob.Say("hello to you")
	alice.WantHeard("hello to you")
}
