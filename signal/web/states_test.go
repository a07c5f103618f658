//go:build integration

package web

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/signal/web/webtest"
)

// relayStats makes the page's own reading of the path see a relay candidate.
const relayStats = `RTCPeerConnection.prototype.getStats = async () => new Map([
	["t", { type: "transport", selectedCandidatePairId: "p" }],
	["p", { type: "candidate-pair", localCandidateId: "l", remoteCandidateId: "r" }],
	["l", { type: "local-candidate", candidateType: "relay" }],
	["r", { type: "remote-candidate", candidateType: "host" }],
]);`

// keepConnections lets a test act on the connections of a page.
const keepConnections = `
	window.connections = [];
	window.RTCPeerConnection = class extends RTCPeerConnection {
		constructor(...settings) { super(...settings); connections.push(this); }
	};`

// states are all that the page can look like; each leads someone there.
var states = []struct {
	name string
	lead func(t *testing.T, s *fakeServer) *webtest.Person
}{
	{"signed-out", func(t *testing.T, s *fakeServer) *webtest.Person {
		return newPerson(t, s, "alice")
	}},
	{"wrong-password", func(t *testing.T, s *fakeServer) *webtest.Person {
		p := newPerson(t, s, "alice")
		p.SignIn("wrong")
		p.WantText("#signin-error", "Wrong name or password.")
		return p
	}},
	{"room-refused", func(t *testing.T, s *fakeServer) *webtest.Person {
		p := newPerson(t, s, "alice")
		p.SignInTo("vault", "alice-password")
		p.WantText("#signin-error", "You are not allowed to join the room vault.")
		return p
	}},
	{"room", func(t *testing.T, s *fakeServer) *webtest.Person { return inRoom(t, s, "ops", "bob", "carol") }},
	{"room-long", func(t *testing.T, s *fakeServer) *webtest.Person {
		return inRoom(t, s, strings.Repeat("long", 16), "bob")
	}},
	{"room-mute", func(t *testing.T, s *fakeServer) *webtest.Person {
		p := inRoom(t, s, "gallery", "bob")
		p.Click("#people .person")
		p.WantText("#find-hint", "You are not allowed to chat in this room.")
		return p
	}},
	{"empty-room", func(t *testing.T, s *fakeServer) *webtest.Person {
		return signedIn(t, s, "alice")[0]
	}},
	{"people", func(t *testing.T, s *fakeServer) *webtest.Person {
		s.join("bob", "carol", "gateway-7", "maria.lindqvist@example", "printer", "zoe")
		return signedIn(t, s, "alice")[0]
	}},
	{"connecting", func(t *testing.T, s *fakeServer) *webtest.Person {
		s.hold("offer")
		people := signedIn(t, s, "alice", "bob")
		people[0].Call(people[1].Name)
		people[0].WantText("#status", "Connecting…")
		return people[0]
	}},
	{"called", func(t *testing.T, s *fakeServer) *webtest.Person {
		_, bob := inCall(t, s)
		return bob
	}},
	{"chat", conversing},
	{"relayed", func(t *testing.T, s *fakeServer) *webtest.Person {
		bob := signedIn(t, s, "bob")[0]
		alice := newPerson(t, s, "alice", relayStats)
		alice.SignIn("alice-password")
		alice.WantVisible("#app")
		alice.Call(bob.Name)
		alice.WantText("#status", "Connected, relayed")
		alice.Say("Are we on the relay?")
		bob.WantHeard("Are we on the relay?")
		return alice
	}},
	{"interrupted", func(t *testing.T, s *fakeServer) *webtest.Person {
		bob := signedIn(t, s, "bob")[0]
		alice := newPerson(t, s, "alice", keepConnections)
		alice.SignIn("alice-password")
		alice.Call(bob.Name)
		alice.WantText("#status", "Connected, direct")
		webtest.Eval[bool](alice, `Object.defineProperty(connections[0], "connectionState", { value: "disconnected" }),
			connections[0].dispatchEvent(new Event("connectionstatechange"))`)
		alice.WantText("#status", "Reconnecting…")
		return alice
	}},
	{"long", func(t *testing.T, s *fakeServer) *webtest.Person {
		people := signedIn(t, s, "alice", strings.Repeat("long", 16))
		alice, other := people[0], people[1]
		alice.Call(other.Name)
		alice.WantText("#status", "Connected, direct")
		for _, text := range []string{strings.Repeat("unbroken", 40), strings.Repeat("Many words in one text. ", 30), "last"} {
			other.Click("#text")
			other.Insert(text)
			other.Press("Enter")
			alice.WantHeard(strings.TrimSpace(text))
		}
		alice.Click("#text")
		alice.Insert(strings.Repeat("A long answer that is not sent yet. ", 8))
		return alice
	}},
	{"safety", func(t *testing.T, s *fakeServer) *webtest.Person {
		alice := conversing(t, s)
		alice.Click("#verify")
		alice.WantVisible("#safety-code")
		return alice
	}},
	{"ended", func(t *testing.T, s *fakeServer) *webtest.Person {
		alice := conversing(t, s)
		s.inject("alice", message{"type": "leave", "name": "bob", "reason": "disconnected"})
		alice.WantText("#ended-text", "bob lost the connection to the server.")
		return alice
	}},
	{"lost", func(t *testing.T, s *fakeServer) *webtest.Person {
		s.join("bob")
		alice := signedIn(t, s, "alice")[0]
		s.drop("alice", 4000)
		alice.WantText("#signin-error", "The server is restarting.")
		return alice
	}},
	{"expired", func(t *testing.T, s *fakeServer) *webtest.Person {
		alice := signedIn(t, s, "alice")[0]
		s.revoke()
		s.answer(protocol.PathLogin, fault(401, protocol.CodeBadCredentials, "", 0))
		s.expire("alice")
		alice.WantText("#find-hint", "Your session ends in a minute: Wrong name or password.")
		s.drop("alice", 4503)
		alice.WantText("#signin-error", "Your session has expired and was not extended: Wrong name or password.")
		return alice
	}},
	{"expiring", func(t *testing.T, s *fakeServer) *webtest.Person {
		alice := inRoom(t, s, "ops", "bob")
		s.answer(protocol.PathJoin, fault(403, protocol.CodeForbidden, "", 0))
		s.expire("alice")
		alice.WantText("#find-hint", "Your session ends in a minute: You are not allowed to join the room ops.")
		return alice
	}},
	{"lost-in-call", func(t *testing.T, s *fakeServer) *webtest.Person {
		alice := conversing(t, s)
		s.drop("alice", 1011)
		alice.WantVisible("#banner")
		return alice
	}},
}

// inRoom signs alice in to a room where others are.
func inRoom(t *testing.T, s *fakeServer, room string, others ...string) *webtest.Person {
	t.Helper()
	s.joinRoom(room, others...)
	alice := newPerson(t, s, "alice")
	alice.SignInTo(room, "alice-password")
	alice.WantVisible("#people-room")
	return alice
}

// conversing leads alice into the middle of a conversation.
func conversing(t *testing.T, s *fakeServer) *webtest.Person {
	t.Helper()
	s.join("carol", "gateway-7")
	alice, bob := inCall(t, s)
	for _, line := range []struct {
		from, to *webtest.Person
		text     string
	}{
		{alice, bob, "Morning! Is the new gateway up?"},
		{bob, alice, "It is. Second try, the first one had the wrong clock."},
		{bob, alice, "I left the logs running, have a look when you like. 14 000 packets through the relay since nine, none lost."},
		{alice, bob, "Looks clean here."},
		{alice, bob, "And this goes straight to you, nothing in between. Shall we compare the safety code? I can call you on the phone."},
		{bob, alice, "Perfect 👍"},
	} {
		line.from.Say(line.text)
		line.to.WantHeard(line.text)
	}
	alice.WaitFor(`document.querySelectorAll(".mark .received").length === 3`)
	return alice
}

// faults lists what keeps people from using the page as it stands.
const faults = `(() => {
	const found = [];
	if (document.documentElement.scrollWidth > innerWidth) found.push("scrolls sideways");
	if (document.documentElement.scrollHeight > innerHeight && !document.getElementById("app").hidden) found.push("page scrolls");
	const name = (e) => e.id || e.className || e.tagName;
	const inert = (e) => e.closest("[inert]") || (document.querySelector("dialog[open]") && !e.closest("dialog"));
	for (const e of document.querySelectorAll("button, input, textarea")) {
		const box = e.getBoundingClientRect();
		if (e.checkVisibility() && (box.width < 44 || box.height < 44)) found.push(name(e) + " is " + box.width + "x" + box.height);
		if (e.checkVisibility() && box.right > innerWidth + 1) found.push(name(e) + " is cut off");
	}
	const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
	const paint = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
	const painted = new Map();
	const rgba = (color) => { if (!painted.has(color)) painted.set(color, paint(color)); return painted.get(color); };
	const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255]; };
	for (const e of document.querySelectorAll("body *")) {
		const shown = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) && e.checkVisibility();
		if (!shown || inert(e) || e.closest(".hidden-text, :disabled")) continue;
		const [a, b] = [light(rgba(getComputedStyle(e).color)), light(behind(e))];
		const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (contrast < 4.5) found.push(name(e) + " has a contrast of " + contrast.toFixed(2));
	}
	return found;
})()`

// TestEveryStateCanBeUsed leads the page into each of its states and checks on a
// wide screen and a phone, light and dark, that it fits, that controls are big
// enough for a thumb (44 px) and that text has the contrast of WCAG 2.2 AA. It
// leaves a picture of each in the directory SIGCTL_SCREENSHOTS, if that is set.
func TestEveryStateCanBeUsed(t *testing.T) {
	t.Parallel()
	for _, state := range states {
		t.Run(state.name, func(t *testing.T) {
			p := state.lead(t, newFakeServer(t))
			for _, scheme := range []string{"light", "dark"} {
				p.Prefer(scheme)
				for _, screen := range []string{"wide", "phone"} {
					p.Resize(screen == "phone")
					for _, fault := range webtest.Eval[[]string](p, faults) {
						t.Errorf("%s, %s: %s", screen, scheme, fault)
					}
					picture(p, state.name+"-"+screen+"-"+scheme)
				}
			}
		})
	}
}

// picture leaves a picture of the page in the directory SIGCTL_SCREENSHOTS, if that is set.
func picture(p *webtest.Person, name string) {
	p.T.Helper()
	if dir := os.Getenv("SIGCTL_SCREENSHOTS"); dir != "" {
		p.Shoot(filepath.Join(dir, name+".png"))
	}
}
