//go:build integration

package web

import (
	"fmt"
	"testing"

	"github.com/sigctl/sigctl/signal/web/webtest"
)

// incoming runs an expression with the page's Incoming, and returns what the connection
// got: descriptions without candidates, and candidates.
const incoming = `import("/candidates.js").then(async ({ Incoming }) => {
	const got = { candidates: 0, last: 0, inside: 0, fault: "" };
	const all = new Incoming({
		setRemoteDescription: async ({ sdp }) => { got.inside += sdp.split("candidate").length - 1; },
		addIceCandidate: async (candidate) => { candidate ? got.candidates++ : got.last++; },
	});
	let next = 1000;
	const line = (kind) => "candidate:1 1 udp 1 192.0.2.1 " + next++ + " typ " + kind;
	const sdp = (n, kind, password = "a") => "v=0\r\na=ice-pwd:" + password + "\r\n" +
		Array.from({ length: n }, () => "a=" + line(kind) + "\r\n").join("") + "a=end-of-candidates\r\n";
	const decoy = (session, section) => sdp(30, "host", session) + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n" +
		section.map((password) => "a=ice-pwd:" + password + "\r\n").join("");
	const trickle = (n, kind) => { for (let i = 0; i < n; i++) all.add({ candidate: line(kind) }); };
	try { %s } catch (error) { got.fault = error.message; }
	return got;
})`

type received struct {
	Candidates, Last, Inside int
	Fault                    string
}

func TestIncomingCandidatesAreBounded(t *testing.T) {
	t.Parallel()
	p := newPerson(t, newFakeServer(t), "module")
	for _, tt := range []struct {
		name, run string
		want      received
	}{
		{"few", `await all.describe("offer", sdp(3, "host"))`, received{Candidates: 3, Last: 1}},
		{"hosts inside", `await all.describe("offer", sdp(256, "host"))`, received{Candidates: 24}},
		{"too many inside", `await all.describe("offer", sdp(257, "host"))`, received{Fault: "description with 257 candidates"}},
		{"both kinds, inside and after", `await all.describe("offer", sdp(20, "host")); trickle(20, "host"); trickle(20, "relay raddr 0.0.0.0 rport 0")`,
			received{Candidates: 36, Last: 1}},
		{"before counts with inside", `trickle(250, "srflx"); await all.describe("offer", sdp(10, "host"))`, received{Candidates: 18}},
		{"the same again", `const one = { candidate: line("host") }; await all.describe("offer", sdp(0)); all.add(one); all.add(one)`,
			received{Candidates: 1, Last: 1}},
		{"descriptions over and over", `for (let i = 0; i < 9; i++) await all.describe("offer", sdp(9, "host"))`, received{Candidates: 24, Last: 9}},
		{"restart", `await all.describe("offer", sdp(30, "host")); await all.describe("offer", sdp(30, "host", "b"))`, received{Candidates: 48, Last: 2}},
		{"other spellings", `await all.describe("offer", sdp(1, "host") + "a=CANDIDATE:x\r\na=candidate 1 1 udp 1\r\na=candidate :1\r\n")`,
			received{Candidates: 4, Last: 1}},
		{"another password in the session", `await all.describe("offer", decoy("a", ["x"])); await all.describe("offer", decoy("b", ["x"]))`,
			received{Candidates: 24, Last: 2}},
		{"another password in the section", `await all.describe("offer", decoy("a", ["x"])); await all.describe("offer", decoy("a", ["y"]))`,
			received{Candidates: 48, Last: 2}},
		{"two passwords in the section", `await all.describe("offer", decoy("a", ["x", "y"]))`,
			received{Fault: "description with 2 values of ice-pwd"}},
		{"not a candidate", `await all.describe("offer", sdp(0)); for (const c of [7, "x", {}, undefined, { candidate: {} }]) all.add(c)`,
			received{Candidates: 1, Last: 5}},
	} {
		if got := webtest.Eval[received](p, fmt.Sprintf(incoming, tt.run)); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// In a call that is relayed only nothing names an address of ours.
func TestConcealedCandidates(t *testing.T) {
	t.Parallel()
	p := newPerson(t, newFakeServer(t), "module")
	for candidate, want := range map[string]string{
		"candidate:1 1 udp 9 203.0.113.7 5000 typ relay raddr 192.168.1.2 rport 6000 generation 0":   "candidate:1 1 udp 9 203.0.113.7 5000 typ relay raddr 0.0.0.0 rport 0 generation 0",
		"candidate:1 1 udp 9 2001:db8::7 5000 typ relay raddr fd00::2 rport 6000":                    "candidate:1 1 udp 9 2001:db8::7 5000 typ relay raddr :: rport 0",
		"candidate:1 1 UDP 9 203.0.113.7 5000 typ relay raddr 203.0.113.7 rport 5000":                "candidate:1 1 UDP 9 203.0.113.7 5000 typ relay raddr 0.0.0.0 rport 0",
		"candidate:1 1 udp 9 192.168.1.2 6000 typ host":                                              "",
		"candidate:1 1 udp 9 f00.local 6000 typ host":                                                "",
		"candidate:1 1 udp 9 198.51.100.1 6000 typ srflx raddr 192.168.1.2 rport 6000":               "",
		"candidate:1 1 udp 9 198.51.100.1 6000 typ prflx raddr 192.168.1.2 rport 6000":               "",
		"candidate:1 1 tcp 9 192.168.1.2 9 typ host tcptype active ufrag x network-id 1 typ relayed": "",
	} {
		got := webtest.Eval[string](p, fmt.Sprintf(`import("/candidates.js").then((m) => m.conceal(%s) ?? "")`, webtest.Quote(candidate)))
		if got != want {
			t.Errorf("%s: got %q, want %q", candidate, got, want)
		}
		sdp := "m=application 6000 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 192.168.1.2\r\na=rtcp:9 IN IP4 192.168.1.2\r\na=" + candidate + "\r\na=mid:0\r\n"
		wantSDP := "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n"
		if want != "" {
			wantSDP += "a=" + want + "\r\n"
		}
		wantSDP += "a=mid:0\r\n"
		if got := webtest.Eval[string](p, fmt.Sprintf(`import("/candidates.js").then((m) => m.concealAll(%s))`, webtest.Quote(sdp))); got != wantSDP {
			t.Errorf("got %q, want %q", got, wantSDP)
		}
	}
}
