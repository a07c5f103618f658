//go:build integration

package web

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/signal/web/webtest"
)

// sdpHead is the session's part of an SDP.
const sdpHead = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"

func sdpOf(lines ...string) string { return sdpHead + strings.Join(append(lines, ""), "\r\n") }

// pageRequirements returns what the page finds in each SDP, sorted and with spaces
// between, or "refused".
func pageRequirements(p *webtest.Person, sdps []string) []string {
	p.T.Helper()
	list, err := json.Marshal(sdps)
	if err != nil {
		p.T.Fatal(err)
	}
	return webtest.Eval[[]string](p, fmt.Sprintf(`import("/description.js").then(({ requirements, NotPermitted }) => %s.map((sdp) => {
		try {
			return requirements(sdp).join(" ");
		} catch (error) {
			if (!(error instanceof NotPermitted)) throw error;
			return "refused";
		}
	}))`, list))
}

func TestRequirements(t *testing.T) {
	t.Parallel()
	const data, audio, video = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=video 0 UDP/TLS/RTP/SAVPF 96"
	tests := []struct{ name, sdp, want string }{
		{"data", sdpOf(data), "data"},
		{"all", sdpOf(audio, "a=recvonly", data, audio, "a=sendonly"), "data publish subscribe"},
		{"default direction", sdpOf(audio), "publish subscribe"},
		{"inactive", sdpOf(audio, "a=inactive"), ""},
		{"rejected data", sdpOf("m=application 0 UDP/DTLS/SCTP webrtc-datachannel"), ""},
		{"rejected", sdpOf(video), ""},
		{"bundle-only", sdpOf(video, "a=bundle-only"), "publish subscribe"},
		{"rejected with a stream", sdpOf(video, "a=ssrc:1 cname:x"), "publish subscribe"},
		{"session's sendrecv", sdpOf("a=sendrecv", data), "data"},
		{"64 sections", sdpOf(slices.Repeat([]string{data}, 64)...), "data"},
		{"65 sections", sdpOf(slices.Repeat([]string{data}, 65)...), "refused"},
		{"nothing", "", "refused"},
		{"no end", sdpHead + data, "refused"},
		{"empty line", sdpOf("", data), "refused"},
		{"second version", sdpOf("v=0"), "refused"},
		{"line separator", sdpOf(data, "a=x\u2028a=sendonly"), "refused"},
		{"return in a line", sdpOf(audio, "a=inactive\ra=sendonly"), "refused"},
		{"two directions", sdpOf(audio, "a=inactive", "a=inactive"), "refused"},
		{"session's inactive", sdpOf("a=inactive", audio), "refused"},
		{"upper case", sdpOf(audio, "a=Inactive"), "refused"},
		{"Kelvin sign", sdpOf("m=audio 9 \u212a 0"), "refused"},
		{"candidate", sdpOf(data, "a=candidate:1 1 udp 1 192.0.2.1 9 typ host", "a=end-of-candidates"), "data"},
		{"candidate after a space", sdpOf(data, "a=candidate 1 1 udp 1 192.0.2.1 9 typ host"), "refused"},
		{"candidate in upper case", sdpOf(data, "a=CANDIDATE:1 1 udp 1 192.0.2.1 9 typ host"), "refused"},
		{"fingerprint after a space", sdpOf(data, "a=fingerprint sha-256 1B:42"), "refused"},
		{"port 00", sdpOf("m=application 00 UDP/DTLS/SCTP 5000"), "refused"},
		{"port 65536", sdpOf("m=application 65536 UDP/DTLS/SCTP 5000"), "refused"},
	}
	sdps := make([]string, len(tests))
	for i, tt := range tests {
		sdps[i] = tt.sdp
	}
	for i, got := range pageRequirements(newPerson(t, newFakeServer(t), "module"), sdps) {
		if got != tests[i].want {
			t.Errorf("%s: got %q, want %q", tests[i].name, got, tests[i].want)
		}
	}
}

// A server that has no permissions cannot hand the browser what could be read in two ways, either.
func TestOtherSpellingsAreRefusedWithoutPermissions(t *testing.T) {
	t.Parallel()
	p := newPerson(t, newFakeServer(t), "module")
	const data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"
	for line, want := range map[string]bool{"a=candidate:1 1 udp 1 192.0.2.1 9 typ host": true, "a=ICE-PWD:6hCx4wlqrV7Yt2F0e9DfKQmP": false} {
		got := webtest.Eval[bool](p, fmt.Sprintf(`import("/description.js").then((m) => m.checkPermitted({ sdp: %s })).then(() => true, () => false)`,
			webtest.Quote(sdpOf(data, line))))
		if got != want {
			t.Errorf("%s: accepted is %v, want %v", line, got, want)
		}
	}
}

// sdpLines are what randomSDP is made of: what there is, and what a reader may
// stumble over.
var sdpLines = []string{
	"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=audio 9 UDP/TLS/RTP/SAVPF 111 63", "m=video 0 UDP/TLS/RTP/SAVPF 96",
	"m=application 0 UDP/DTLS/SCTP 5000", "m=text 65535 RTP/AVP 0", "a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive",
	"a=bundle-only", "a=ssrc:1 cname:x", "a=rid:h send", "a=mid:0", "a=rtpmap:96 VP8/90000", "c=IN IP4 0.0.0.0", "b=AS:30", "a=x-sendonly", "s= ",
	"a=candidate:1 1 udp 1 192.0.2.1 9 typ host", "a=ice-pwd:6hCx4wlqrV7Yt2F0e9DfKQmP",
}

// sdpMutations are what a random place of an SDP is replaced by.
var sdpMutations = []string{"", " ", "\t", "\r", "\n", "\r\n", "=", ":", "0", "9", "a", "A", "m", "v", "/", "-", "\x00", "\u2028", "é", "\u017f"}

func randomSDP(r *rand.Rand) string {
	lines := []string{sdpHead}
	for range r.IntN(9) {
		line, end := sdpLines[r.IntN(len(sdpLines))], "\r\n"
		if r.IntN(8) == 0 {
			end = "\n"
		}
		lines = append(lines, line+end)
	}
	sdp := strings.Join(lines, "")
	for range max(0, r.IntN(4)-1) {
		i := r.IntN(len(sdp) + 1)
		j := min(len(sdp), i+r.IntN(2))
		sdp = strings.ToValidUTF8(sdp[:i]+sdpMutations[r.IntN(len(sdpMutations))]+sdp[j:], "?")
	}
	return sdp
}

// The server and the page must never disagree about what an SDP needs.
func TestRequirementsAreThoseOfPackageProtocol(t *testing.T) {
	t.Parallel()
	p := newPerson(t, newFakeServer(t), "module")
	r := rand.New(rand.NewPCG(3, 11))
	sdps, refused := make([]string, 20_000), 0
	for i := range sdps {
		sdps[i] = randomSDP(r)
	}
	for i, got := range pageRequirements(p, sdps) {
		perms, err := protocol.Description{SDP: sdps[i]}.Requires()
		want := strings.Join(perms, " ")
		if err != nil {
			want = "refused"
			refused++
		}
		if got != want {
			t.Fatalf("got %q, want %q (%v) of %q", got, want, err, sdps[i])
		}
	}
	if refused < len(sdps)/5 || refused > len(sdps)*4/5 {
		t.Errorf("%d of %d are refused, want some of both", refused, len(sdps))
	}
}

// What this browser itself writes must not be refused.
func TestOwnDescriptionsNeedData(t *testing.T) {
	t.Parallel()
	p := newPerson(t, newFakeServer(t), "module")
	sdps := webtest.Eval[[]string](p, `(async () => {
		const [a, b] = [new RTCPeerConnection(), new RTCPeerConnection()];
		a.createDataChannel("chat");
		await a.setLocalDescription();
		await b.setRemoteDescription(a.localDescription);
		await b.setLocalDescription();
		return [a.localDescription.sdp, b.localDescription.sdp];
	})()`)
	if got, want := pageRequirements(p, sdps), []string{"data", "data"}; !cmp.Equal(got, want) {
		t.Errorf("got %q, want %q of %q", got, want, sdps)
	}
}
