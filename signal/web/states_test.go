//go:build integration

package web

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/sigctl/sigctl/pkg/protocol"
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
	lead func(t *testing.T, s *fakeServer) *person
}{
	{"signed-out", func(t *testing.T, s *fakeServer) *person {
		return newPerson(t, s, "alice")
	}},
	{"wrong-password", func(t *testing.T, s *fakeServer) *person {
		p := newPerson(t, s, "alice")
		p.signIn("wrong")
		p.wantText("signin-error", "Wrong name or password.")
		return p
	}},
	{"room-refused", func(t *testing.T, s *fakeServer) *person {
		p := newPerson(t, s, "alice")
		p.signInTo("vault", "alice-password")
		p.wantText("signin-error", "You are not allowed to join the room vault.")
		return p
	}},
	{"room", func(t *testing.T, s *fakeServer) *person { return inRoom(t, s, "ops", "bob", "carol") }},
	{"room-long", func(t *testing.T, s *fakeServer) *person { return inRoom(t, s, strings.Repeat("long", 16), "bob") }},
	{"room-mute", func(t *testing.T, s *fakeServer) *person {
		p := inRoom(t, s, "gallery", "bob")
		p.click("#people .person")
		p.wantText("find-hint", "You are not allowed to chat in this room.")
		return p
	}},
	{"empty-room", func(t *testing.T, s *fakeServer) *person {
		return signedIn(t, s, "alice")[0]
	}},
	{"people", func(t *testing.T, s *fakeServer) *person {
		s.join("bob", "carol", "gateway-7", "maria.lindqvist@example", "printer", "zoe")
		return signedIn(t, s, "alice")[0]
	}},
	{"connecting", func(t *testing.T, s *fakeServer) *person {
		s.hold("offer")
		people := signedIn(t, s, "alice", "bob")
		people[0].call(people[1])
		people[0].wantText("status", "Connecting…")
		return people[0]
	}},
	{"called", func(t *testing.T, s *fakeServer) *person {
		_, bob := inCall(t, s)
		return bob
	}},
	{"chat", conversing},
	{"relayed", func(t *testing.T, s *fakeServer) *person {
		bob := signedIn(t, s, "bob")[0]
		alice := newPerson(t, s, "alice", relayStats)
		alice.signIn("alice-password")
		alice.wantVisible("app")
		alice.call(bob)
		alice.wantText("status", "Connected, relayed")
		alice.say("Are we on the relay?")
		bob.wantHeard("Are we on the relay?")
		return alice
	}},
	{"interrupted", func(t *testing.T, s *fakeServer) *person {
		bob := signedIn(t, s, "bob")[0]
		alice := newPerson(t, s, "alice", keepConnections)
		alice.signIn("alice-password")
		alice.call(bob)
		alice.wantText("status", "Connected, direct")
		eval[bool](alice, `Object.defineProperty(connections[0], "connectionState", { value: "disconnected" }),
			connections[0].dispatchEvent(new Event("connectionstatechange"))`)
		alice.wantText("status", "Reconnecting…")
		return alice
	}},
	{"long", func(t *testing.T, s *fakeServer) *person {
		people := signedIn(t, s, "alice", strings.Repeat("long", 16))
		alice, other := people[0], people[1]
		alice.call(other)
		alice.wantText("status", "Connected, direct")
		for _, text := range []string{strings.Repeat("unbroken", 40), strings.Repeat("Many words in one text. ", 30), "last"} {
			other.say(text)
			alice.wantHeard(strings.TrimSpace(text))
		}
		alice.write("#text", strings.Repeat("A long answer that is not sent yet. ", 8))
		return alice
	}},
	{"safety", func(t *testing.T, s *fakeServer) *person {
		alice := conversing(t, s)
		alice.click("#verify")
		alice.wantVisible("safety-code")
		return alice
	}},
	{"ended", func(t *testing.T, s *fakeServer) *person {
		alice := conversing(t, s)
		s.inject("alice", message{"type": "leave", "name": "bob", "reason": "disconnected"})
		alice.wantText("ended-text", "bob lost the connection to the server.")
		return alice
	}},
	{"lost", func(t *testing.T, s *fakeServer) *person {
		s.join("bob")
		alice := signedIn(t, s, "alice")[0]
		s.drop("alice", 4000)
		alice.wantText("signin-error", "The server is restarting.")
		return alice
	}},
	{"expired", func(t *testing.T, s *fakeServer) *person {
		alice := signedIn(t, s, "alice")[0]
		s.revoke()
		s.answer(protocol.PathLogin, fault(401, protocol.CodeBadCredentials, "", 0))
		s.expire("alice")
		alice.wantText("find-hint", "Your session ends in a minute: Wrong name or password.")
		s.drop("alice", 4503)
		alice.wantText("signin-error", "Your session has expired and was not extended: Wrong name or password.")
		return alice
	}},
	{"expiring", func(t *testing.T, s *fakeServer) *person {
		alice := inRoom(t, s, "ops", "bob")
		s.answer(protocol.PathJoin, fault(403, protocol.CodeForbidden, "", 0))
		s.expire("alice")
		alice.wantText("find-hint", "Your session ends in a minute: You are not allowed to join the room ops.")
		return alice
	}},
	{"lost-in-call", func(t *testing.T, s *fakeServer) *person {
		alice := conversing(t, s)
		s.drop("alice", 1011)
		alice.wantVisible("banner")
		return alice
	}},
}

// inRoom signs alice in to a room where others are.
func inRoom(t *testing.T, s *fakeServer, room string, others ...string) *person {
	t.Helper()
	s.joinRoom(room, others...)
	alice := newPerson(t, s, "alice")
	alice.signInTo(room, "alice-password")
	alice.wantVisible("people-room")
	return alice
}

// conversing leads alice into the middle of a conversation.
func conversing(t *testing.T, s *fakeServer) *person {
	t.Helper()
	s.join("carol", "gateway-7")
	alice, bob := inCall(t, s)
	for _, line := range []struct {
		from, to *person
		text     string
	}{
		{alice, bob, "Morning! Is the new gateway up?"},
		{bob, alice, "It is. Second try, the first one had the wrong clock."},
		{bob, alice, "I left the logs running, have a look when you like. 14 000 packets through the relay since nine, none lost."},
		{alice, bob, "Looks clean here."},
		{alice, bob, "And this goes straight to you, nothing in between. Shall we compare the safety code? I can call you on the phone."},
		{bob, alice, "Perfect 👍"},
	} {
		line.from.say(line.text)
		line.to.wantHeard(line.text)
	}
	alice.waitFor(`document.querySelectorAll(".mark .received").length === 3`)
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
	const rgba = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
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
	dir := os.Getenv("SIGCTL_SCREENSHOTS")
	for _, state := range states {
		t.Run(state.name, func(t *testing.T) {
			p := state.lead(t, newFakeServer(t))
			for _, scheme := range []string{"light", "dark"} {
				p.prefer(scheme)
				for _, screen := range []string{"wide", "phone"} {
					p.resize(screen)
					for _, fault := range eval[[]string](p, faults) {
						t.Errorf("%s, %s: %s", screen, scheme, fault)
					}
					if dir != "" {
						p.shoot(filepath.Join(dir, state.name+"-"+screen+"-"+scheme+".png"))
					}
				}
			}
		})
	}
}

func (p *person) prefer(scheme string) {
	p.t.Helper()
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"},
		}})
		return err
	}))
}

func (p *person) resize(screen string) {
	p.t.Helper()
	if screen == "phone" {
		p.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2)))
		return
	}
	p.do(chromedp.EmulateViewport(1280, 800))
}

func (p *person) shoot(file string) {
	p.t.Helper()
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatalf("%s: take a picture: %v", p.name, err)
	}
	if err := os.WriteFile(file, picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
