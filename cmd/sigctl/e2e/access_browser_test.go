//go:build integration

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sigctl/sigctl/signal/web/webtest"
)

// script runs the body of an async function in the page, and returns its result.
func script[T any](p *webtest.Person, body string) T {
	p.T.Helper()
	return webtest.Eval[T](p, "(async () => {"+body+"})()")
}

// relayedPair makes two RTCPeerConnections with nothing but what the HTTP API gives,
// and sends a message from one to the other.
const relayedPair = `
const ask = async (path, init) => {
	const response = await fetch(path, init);
	const answer = await response.json();
	if (!response.ok) throw new Error(path + ": " + answer.code);
	return answer;
};
const {token} = await ask("/api/login", {method: "POST", body: JSON.stringify({name: "user1", password: "password1"})});
const {iceServers} = await ask("/api/rooms/join", {headers: {Authorization: "Bearer " + token}});

const [one, two] = [1, 2].map(() => new RTCPeerConnection({iceServers, iceTransportPolicy: "relay"}));
const gathered = (pc) => new Promise((done) => {
	const look = () => { if (pc.iceGatheringState === "complete") done(pc.localDescription); };
	pc.onicegatheringstatechange = look;
	look();
});
const heard = new Promise((done) => { two.ondatachannel = ({channel}) => { channel.onmessage = (e) => done(e.data); }; });
const channel = one.createDataChannel("any");
channel.onopen = () => channel.send("hello through the relay");
await one.setLocalDescription();
await two.setRemoteDescription(await gathered(one));
await two.setLocalDescription();
await one.setRemoteDescription(await gathered(two));

const result = {heard: await heard};
const stats = await one.getStats();
for (const transport of stats.values()) {
	if (transport.type !== "transport") continue;
	const pair = stats.get(transport.selectedCandidatePairId);
	const [local, remote] = [stats.get(pair.localCandidateId), stats.get(pair.remoteCandidateId)];
	Object.assign(result, {local: local.candidateType, remote: remote.candidateType, url: local.url});
}
one.close(); two.close();
return result;`

// What the HTTP API gives a page is enough to relay through our relay.
func TestPageRelaysByTheAPI(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo")
	got := script[struct{ Heard, Local, Remote, URL string }](s.page("user1"), relayedPair)
	if got.Heard != "hello through the relay" || got.Local != "relay" || got.Remote != "relay" || !strings.HasPrefix(got.URL, "turn:"+s.relay) {
		t.Errorf("got %+v, want the message over two relay candidates of %s", got, s.relay)
	}
	if n := s.count("allocation ok user=user1"); n < 2 {
		t.Errorf("%d allocations of user1 are on record, want one of each end or more", n)
	}
}

// reach tries what a page could do with the browser of somebody who knows a
// password. %q is the server.
const reach = `
const server = %q, credentials = JSON.stringify({name: "alice", password: "password-of-alice"});
const tried = (path, init) => fetch(server + path, init).then(async (r) => (await r.json()).token ? "token" : "refused", () => "unreadable");
return {
	socket: await new Promise((done) => {
		const ws = new WebSocket(server.replace("https", "wss"));
		ws.onmessage = (e) => done(JSON.parse(e.data).type);
		ws.onerror = () => done("refused");
	}),
	simple: await tried("/api/login", {method: "POST", body: credentials}),
	preflighted: await tried("/api/login", {method: "POST", body: credentials, headers: {"Content-Type": "application/json"}}),
	opaque: await fetch(server + "/api/login", {method: "POST", body: credentials, mode: "no-cors"}).then((r) => r.type),
};`

// reached is what came of it.
type reached struct{ Socket, Simple, Preflighted, Opaque string }

// A page of another origin gets nothing: neither the WebSocket nor an answer, and not
// even an effect of what it asks without reading the answer. An origin that is
// allowed gets all.
func TestOtherOrigins(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>another site</title>")
	}))
	t.Cleanup(page.Close)
	byAddress := page.URL
	byName := strings.Replace(page.URL, "127.0.0.1", "localhost", 1)

	closed, open := serveForBrowser(t), serveForBrowser(t, "--allow-origin", byName)
	all, nothing := reached{"hello", "token", "token", "basic"}, reached{"refused", "unreadable", "unreadable", "opaque"}
	const issued = "token_issued ok user=alice by=password message=POST /api/login"
	foreign := all
	foreign.Opaque = "opaque"
	for _, tt := range []struct {
		name   string
		s      *server
		page   string // "": the server's own
		want   reached
		tokens int // that were issued to the page
	}{
		{"own page", closed, "", all, 3},
		{"another origin", closed, byName, nothing, 0},
		{"own page, others allowed", open, "", all, 3},
		{"allowed origin", open, byName, foreign, 3},
		{"same server, other name", open, byAddress, nothing, 0},
	} {
		if _, ok := tt.s.passwords["alice"]; !ok {
			tt.s.add("alice")
		}
		p, before := tt.s.page("alice"), tt.s.count(issued)
		if tt.page != "" {
			p.Navigate(tt.page)
		}
		if got := script[reached](p, fmt.Sprintf(reach, "https://"+tt.s.addr())); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
		if got := tt.s.count(issued) - before; got != tt.tokens {
			t.Errorf("%s: %d tokens were issued, want %d", tt.name, got, tt.tokens)
		}
	}
}
