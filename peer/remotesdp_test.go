package peer

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

func lines(text ...string) string { return strings.Join(text, "\r\n") + "\r\n" }

// An offer as Chromium makes it with max-bundle: only the first section has a transport.
var bundledOffer = lines("v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1 2", "a=msid-semantic: WMS",
	"m=audio 9 UDP/TLS/RTP/SAVPF 111 63", "c=IN IP4 0.0.0.0", "a=candidate:1 1 udp 2 192.0.2.1 5000 typ host",
	"a=ice-ufrag:abcd", "a=ice-pwd:pppppppppppppppppppppp", "a=fingerprint:sha-256 AA", "a=setup:actpass", "a=mid:0",
	"a=sendrecv", "a=rtcp-mux", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 useinbandfec=1", "a=rtpmap:63 red/48000/2", "a=ssrc:1 cname:x",
	"m=video 0 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", "a=bundle-only", "a=mid:1", "a=rtcp-mux", "a=rtpmap:96 VP8/90000",
	"m=application 0 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=bundle-only", "a=mid:2", "a=sctp-port:5000")

const pionAnswer = "v=0\r\no=- 3 4 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 BB\r\na=group:BUNDLE 2\r\n" +
	"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=setup:active\r\na=mid:2\r\na=ice-ufrag:ours\r\na=ice-pwd:secret\r\n" +
	"a=candidate:9 1 udp 9 192.0.2.9 9 typ host\r\na=end-of-candidates\r\n"

func TestReadRemote(t *testing.T) {
	r, err := readRemote(bundledOffer)
	if err != nil {
		t.Fatal(err)
	}
	want := lines("v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=msid-semantic: WMS", "a=group:BUNDLE 2",
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=mid:2", "a=sctp-port:5000",
		"a=ice-ufrag:abcd", "a=ice-pwd:pppppppppppppppppppppp", "a=fingerprint:sha-256 AA", "a=setup:actpass")
	if diff := cmp.Diff(want, r.forPion()); diff != "" {
		t.Errorf("for pion (-want +got):\n%s", diff)
	}
	if c := r.candidates(); len(c) != 1 || c[0].Candidate != "candidate:1 1 udp 2 192.0.2.1 5000 typ host" {
		t.Errorf("candidates %v", c)
	}
	if pwd := r.password(); pwd != "pppppppppppppppppppppp" {
		t.Errorf("password %q", pwd)
	}
	for mid, concerns := range map[string]bool{"0": true, "1": false, "2": false, "": true, "other": true} {
		if got := r.concerns(&protocol.CandidateInit{SDPMid: &mid}); got != concerns {
			t.Errorf("a candidate of section %q is used: %v, want %v", mid, got, concerns)
		}
	}
}

func TestAnswerToMedia(t *testing.T) {
	r, err := readRemote(bundledOffer)
	if err != nil {
		t.Fatal(err)
	}
	want := lines("v=0", "o=- 3 4 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=fingerprint:sha-256 BB", "a=group:BUNDLE 0 1 2",
		"m=audio 9 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 0.0.0.0", "a=setup:active", "a=ice-ufrag:ours", "a=ice-pwd:secret",
		"a=candidate:9 1 udp 9 192.0.2.9 9 typ host", "a=end-of-candidates",
		"a=mid:0", "a=rtcp-mux", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 useinbandfec=1", "a=inactive",
		"m=video 9 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", "a=setup:active", "a=ice-ufrag:ours", "a=ice-pwd:secret",
		"a=mid:1", "a=rtcp-mux", "a=rtpmap:96 VP8/90000", "a=inactive",
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=setup:active", "a=mid:2", "a=ice-ufrag:ours", "a=ice-pwd:secret",
		"a=candidate:9 1 udp 9 192.0.2.9 9 typ host", "a=end-of-candidates")
	if diff := cmp.Diff(want, r.answer(pionAnswer)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

// Sections that share no transport are rejected, and no group is answered that was not
// offered.
func TestAnswerWithoutBundle(t *testing.T) {
	r, err := readRemote(strings.Replace(strings.ReplaceAll(bundledOffer, "a=bundle-only\r\n", ""), "a=group:BUNDLE 0 1 2\r\n", "", 1))
	if err == nil {
		t.Fatalf("a rejected data section was accepted: %v", r)
	}
	r, err = readRemote(strings.Replace(bundledOffer, "a=group:BUNDLE 0 1 2\r\n", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	got := r.answer(pionAnswer)
	for _, want := range []string{"m=audio 0 UDP/TLS/RTP/SAVPF 111 63\r\n", "m=video 0 UDP/TLS/RTP/SAVPF 96\r\n", "m=application 9 "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in the answer %q", want, got)
		}
	}
	if strings.Contains(got, "a=group") {
		t.Errorf("the answer has a group: %q", got)
	}
}

func TestRemoteIsRefused(t *testing.T) {
	for name, sdp := range map[string]string{
		"nothing":            "",
		"no data section":    lines("v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0"),
		"rejected":           lines("v=0", "m=application 0 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:0"),
		"no format":          lines("v=0", "m=application 9 UDP/DTLS/SCTP"),
		"two of one mid":     lines("v=0", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:0", "m=audio 9 x 0", "a=mid:0"),
		"a return in a line": lines("v=0", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=x\rm=audio 9 UDP/TLS/RTP/SAVPF 0"),
		"a space before m":   lines("v=0", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", " m=audio 9 UDP/TLS/RTP/SAVPF 0"),
		"too many sections":  lines("v=0", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel") + strings.Repeat("m=audio 0 x 0\r\n", maxSections),
	} {
		if _, err := readRemote(sdp); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Pion has to use the password that the bounds on candidates go by.
func TestRemotePasswordIsThatOfPion(t *testing.T) {
	credentials := func(name string) []string { return []string{"a=ice-ufrag:" + name, "a=ice-pwd:" + name} }
	data := []string{"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:0"}
	for _, tt := range []struct {
		name             string
		session, section []string
		want             string
	}{
		{"section", nil, credentials("section"), "section"},
		{"session", credentials("session"), nil, "session"},
		{"both", credentials("session"), credentials("section"), "section"},
		{"a password alone in the section", credentials("session"), []string{"a=ice-pwd:decoy"}, "session"},
		{"a password alone in the session", []string{"a=ice-pwd:decoy"}, credentials("section"), "section"},
	} {
		r, err := readRemote(lines(slices.Concat([]string{"v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0"}, tt.session, data, tt.section)...))
		if err != nil {
			t.Fatal(err)
		}
		desc := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: r.forPion()}
		parsed, err := desc.Unmarshal()
		if err != nil {
			t.Fatal(err)
		}
		used := parsed.MediaDescriptions[0].Attribute // as pion does
		if _, ok := parsed.Attribute("ice-ufrag"); ok {
			used = parsed.Attribute
		}
		if got, _ := used("ice-pwd"); got != tt.want || r.password() != tt.want {
			t.Errorf("%s: pion uses %q, password returns %q, want %q", tt.name, got, r.password(), tt.want)
		}
	}
}

// Whatever is offered, pion sees one section, of data, and each section is answered.
func FuzzReadRemote(f *testing.F) {
	f.Add(bundledOffer)
	f.Add(lines("v=0", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:0", "a=candidate:1 1 udp 1 192.0.2.1 1 typ host"))
	f.Add(lines("v=0", "a=group:BUNDLE x y x", "m=application 9 DTLS/SCTP 5000", "a=mid:y", "m=application 9 DTLS/SCTP 5000", "a=mid:x"))
	f.Add("v=0\nm=audio 9\n\nm=application 0 a b\na=bundle-only")
	f.Fuzz(func(t *testing.T, sdp string) {
		r, err := readRemote(sdp)
		if err != nil {
			return
		}
		desc := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: r.forPion()}
		if parsed, err := desc.Unmarshal(); err == nil {
			if len(parsed.MediaDescriptions) != 1 || parsed.MediaDescriptions[0].MediaName.Media != "application" {
				t.Fatalf("pion sees %q", desc.SDP)
			}
		}
		again, err := readRemote(desc.SDP)
		if err != nil || len(again.sections) != 1 || len(again.candidates()) != 0 {
			t.Fatalf("%q: %v", desc.SDP, err)
		}
		answer, err := readRemote(r.answer(pionAnswer))
		if err != nil || len(answer.sections) != len(r.sections) {
			t.Fatalf("answer %q to %q: %v", r.answer(pionAnswer), sdp, err)
		}
		for i, s := range answer.sections {
			if i != r.data && (s.mid != r.sections[i].mid || s.isMedia() && !r.sections[i].isMedia()) {
				t.Fatalf("answer %q to %q", r.answer(pionAnswer), sdp)
			}
		}
	})
}
