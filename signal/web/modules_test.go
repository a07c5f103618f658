//go:build integration

package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sigctl/sigctl/signal/web/webtest"
)

// The fingerprints of the vectors that package peer checks as well.
const (
	fingerprintUp   = "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F"
	fingerprintDown = "FF:FE:FD:FC:FB:FA:F9:F8:F7:F6:F5:F4:F3:F2:F1:F0:EF:EE:ED:EC:EB:EA:E9:E8:E7:E6:E5:E4:E3:E2:E1:E0"
)

func TestSafetyCode(t *testing.T) {
	t.Parallel()
	p := newPerson(t, newFakeServer(t), "module")
	for _, tt := range []struct{ call, want string }{
		{"", "16963 70216 13173 96779 48133 64188"},
		{"AAAAAAAAAAAAAAAAAAAAAA", "69666 30054 13067 49847 40957 88515"},
		{"zero-padded-0000000031", "07163 84925 04994 93813 07004 28565"},
	} {
		for _, order := range [][2]string{{fingerprintUp, fingerprintDown}, {fingerprintDown, fingerprintUp}} {
			got := webtest.Eval[string](p, fmt.Sprintf(`import("/safety.js").then((m) => m.safetyCode(%q, %q, %q))`, order[0], order[1], tt.call))
			if got != tt.want {
				t.Errorf("call %q: got %s, want %s", tt.call, got, tt.want)
			}
		}
	}
}

func TestFingerprintOf(t *testing.T) {
	t.Parallel()
	p := newPerson(t, newFakeServer(t), "module")
	up, down := "a=fingerprint:sha-256 "+fingerprintUp, "a=fingerprint:sha-256 "+fingerprintDown
	for _, tt := range []struct {
		name string
		sdp  []string
		want string // "" is a refusal
	}{
		{"in the session", []string{up, "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"}, fingerprintUp},
		{"in the media section", []string{"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", down}, fingerprintDown},
		{"twice the same", []string{up, "m=application 9", up}, fingerprintUp},
		{"lower case", []string{strings.ToLower(down)}, fingerprintDown},
		{"upper-case hash", []string{"a=fingerprint:SHA-256 " + fingerprintUp}, fingerprintUp},
		{"none", []string{"v=0"}, ""},
		{"two", []string{up, "m=application 9", down}, ""},
		{"another hash beside it", []string{up, "a=fingerprint:sha-1 00:01"}, ""},
		{"hidden behind spaces", []string{up, "a=fingerprint:  sha-256   " + fingerprintDown}, ""},
		{"after a space, without a colon", []string{up, "a=fingerprint sha-256 " + fingerprintDown}, ""},
		{"behind a colon", []string{up, "a=:fingerprint:sha-256 " + fingerprintDown}, ""},
		{"cut off", []string{"a=fingerprint:sha-256 00:01"}, ""},
	} {
		sdp := strings.Join(tt.sdp, "\r\n") + "\r\n"
		got := webtest.Eval[string](p, fmt.Sprintf(`import("/description.js").then((m) => m.fingerprintOf(%s)).catch(() => "")`, webtest.Quote(sdp)))
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestDescriptionIsForDataOnly(t *testing.T) {
	t.Parallel()
	p := newPerson(t, newFakeServer(t), "module")
	for sdp, want := range map[string]bool{
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n":               true,
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\n":                                false,
		"m=application 9 x\nm=video 9 UDP/TLS/RTP/SAVPF 96\n":              false,
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\nm=application ": false,
		"v=0\n": false,
	} {
		got := webtest.Eval[bool](p, fmt.Sprintf(`import("/description.js").then((m) => m.checkDataOnly(%s)).then(() => true, () => false)`, webtest.Quote(sdp)))
		if got != want {
			t.Errorf("%q: got %v, want %v", sdp, got, want)
		}
	}
}

func TestPathOf(t *testing.T) {
	t.Parallel()
	p := newPerson(t, newFakeServer(t), "module")
	for _, tt := range []struct{ name, local, remote, selected, want string }{
		{"two hosts", "host", "host", "p", "direct"},
		{"behind NAT", "srflx", "prflx", "p", "direct"},
		{"our relay", "relay", "host", "p", "relayed"},
		{"their relay", "host", "relay", "p", "relayed"},
		{"nominated, no transport", "relay", "relay", "", "relayed"},
		{"nothing yet", "relay", "relay", "none", ""},
	} {
		got := webtest.Eval[string](p, fmt.Sprintf(`import("/path.js").then((m) => m.pathOf(new Map([
			["t", { type: "transport", selectedCandidatePairId: %q }],
			["p", { type: "candidate-pair", nominated: true, state: "succeeded", localCandidateId: "l", remoteCandidateId: "r" }],
			["l", { candidateType: %q }], ["r", { candidateType: %q }]])))`, tt.selected, tt.local, tt.remote))
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// What the other side sends can be anything; it never ends up on the page.
func TestTextsForCodes(t *testing.T) {
	t.Parallel()
	p := newPerson(t, newFakeServer(t), "module")
	for expression, want := range map[string]string{
		`m.endText("hangup", true, "bob")`:                               "bob hung up.",
		`m.endText("<b>server</b>", true, "bob")`:                        "bob hung up.",
		`m.endText("__proto__", true, "bob")`:                            "bob hung up.",
		`m.endText("hangup", false, "bob")`:                              "You hung up.",
		`m.endText("ice_timeout", false, "bob")`:                         "No connection could be made.",
		`m.errorText({ code: "rate_limited", retryAfter: 300 })`:         "Too many attempts. Try again in 5 minutes.",
		`m.errorText({ code: "rate_limited" })`:                          "Too many attempts. Try again in a moment.",
		`m.errorText({ code: "busy", name: "bob", retryAfter: 1 })`:      "bob is not receiving messages fast enough. Try again in 1 s.",
		`m.errorText({ code: "busy", retryAfter: 300 })`:                 "The server is busy. Try again in 5 minutes.",
		`m.errorText({ code: "toString", message: "not in this room" })`: "The server said: not in this room",
		`m.closeText(4001)`:                                              "This page could not keep up with the server.",
	} {
		if got := webtest.Eval[string](p, `import("/texts.js").then((m) => `+expression+`)`); got != want {
			t.Errorf("%s: got %q, want %q", expression, got, want)
		}
	}
}
