package protocol

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sdp makes an SDP of its session's part and the lines given.
func sdp(lines ...string) string {
	head := "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
	if len(lines) == 0 {
		return head
	}
	return head + strings.Join(lines, "\r\n") + "\r\n"
}

const (
	mAudio = "m=audio 9 UDP/TLS/RTP/SAVPF 111"
	mVideo = "m=video 9 UDP/TLS/RTP/SAVPF 96 97"
	mData  = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"
)

// transport is what browsers write into every section.
const transport = "a=ice-ufrag:Zx1f\r\na=ice-pwd:6hCx4wlqrV7Yt2F0e9DfKQmP\r\na=ice-options:trickle\r\n" +
	"a=fingerprint:sha-256 0B:4A:77:19:C2:5E:83:F0:6D:21:9A:B8:44:CE:71:35:0F:E6:92:5B:A8:D3:17:60:FC:2E:89:B4:53:CD:0A:F1\r\na=setup:actpass"

// realSDPs are shaped like what clients in use write.
var realSDPs = []struct{ name, sdp, needs string }{
	{"Chromium, data only", sdp("a=group:BUNDLE 0", "a=extmap-allow-mixed", "a=msid-semantic: WMS",
		mData, "c=IN IP4 0.0.0.0", transport, "a=mid:0", "a=sctp-port:5000", "a=max-message-size:262144"), "data"},
	{"Chromium, call with simulcast", sdp("a=group:BUNDLE 0 1 2", "a=extmap-allow-mixed", "a=msid-semantic: WMS 7f2d",
		mAudio, "c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0", transport, "a=mid:0",
		"a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level", "a=sendrecv", "a=msid:7f2d 19ac", "a=rtcp-mux", "a=rtcp-rsize",
		"a=rtpmap:111 opus/48000/2", "a=rtcp-fb:111 transport-cc", "a=fmtp:111 minptime=10;useinbandfec=1", "a=ssrc:2607947206 cname:z8aoN2l/L7oiSqrJ",
		mVideo, "c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0", transport, "a=mid:1",
		"a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "a=sendonly", "a=msid:7f2d 88e0", "a=rtcp-mux", "a=rtcp-rsize",
		"a=rtpmap:96 VP8/90000", "a=rtcp-fb:96 ccm fir", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96",
		"a=rid:h send", "a=rid:l send", "a=simulcast:send h;l",
		mData, "c=IN IP4 0.0.0.0", transport, "a=mid:2", "a=sctp-port:5000", "a=max-message-size:262144"), "data publish subscribe"},
	{"Chromium, watching", sdp("a=group:BUNDLE 0", mVideo, "c=IN IP4 0.0.0.0", transport, "a=mid:0", "a=recvonly", "a=rtcp-mux", "a=rtpmap:96 VP8/90000"), "subscribe"},
	{"Chromium, video refused", sdp("a=group:BUNDLE 1", "m=video 0 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0",
		transport, "a=mid:0", "a=inactive", "a=rtcp-mux", "a=rtpmap:96 VP8/90000",
		mData, "c=IN IP4 0.0.0.0", transport, "a=mid:1", "a=sctp-port:5000"), "data"},
	{"Chromium, max-bundle", sdp("a=group:BUNDLE 0 1", mAudio, "c=IN IP4 0.0.0.0", transport, "a=mid:0", "a=inactive",
		"m=application 0 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=bundle-only", "a=mid:1", "a=sctp-port:5000"), "data"},
	{"Firefox, call", "v=0\r\no=mozilla...THIS_IS_SDPARTA-140.0 5186584356436577426 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" +
		"a=sendrecv\r\na=fingerprint:sha-256 1B:42:35:DA\r\na=group:BUNDLE 0 1\r\na=ice-options:trickle\r\na=msid-semantic:WMS *\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8 101\r\nc=IN IP4 0.0.0.0\r\na=sendonly\r\na=mid:0\r\na=msid:{2f} {9c}\r\na=rtcp-mux\r\na=rtpmap:109 opus/48000/2\r\na=ssrc:3719628412 cname:{5d}\r\n" +
		"m=video 0 UDP/TLS/RTP/SAVPF 120\r\nc=IN IP4 0.0.0.0\r\na=bundle-only\r\na=sendonly\r\na=mid:1\r\n", "publish"},
	{"Firefox, data only", sdp("a=fingerprint:sha-256 1B:42:35:DA", "a=group:BUNDLE 0", "a=msid-semantic:WMS *",
		mData, "c=IN IP4 0.0.0.0", "a=sendrecv", "a=ice-pwd:3f7c1e9a2b4d6f80", "a=ice-ufrag:8a1b2c3d", "a=mid:0", "a=setup:active", "a=sctp-port:5000", "a=max-message-size:1073741823"), "data"},
	{"pion, no common codec", sdp("a=msid-semantic:WMS *", "a=fingerprint:sha-256 1B:42", "a=group:BUNDLE 1",
		"m=video 0 UDP/TLS/RTP/SAVPF 0", "c=IN IP4 0.0.0.0",
		mData, "c=IN IP4 0.0.0.0", "a=setup:active", "a=mid:1", "a=sendrecv", "a=sctp-port:5000", "a=x-sigctl-sctp-init:AQAALA", "a=ice-ufrag:kZq", "a=candidate:1 1 udp 2130706431 10.0.0.1 5000 typ host", "a=end-of-candidates"), "data"},
	{"older Chromium, data", sdp("a=group:BUNDLE data", "m=application 9 DTLS/SCTP 5000", "c=IN IP4 0.0.0.0", "b=AS:30", "a=mid:data", "a=sctpmap:5000 webrtc-datachannel 1024"), "data"},
	{"line feeds alone", strings.ReplaceAll(sdp(mAudio, "a=recvonly"), "\r", ""), "subscribe"},
	{"no sections", "v=0\r\n", ""},
}

func TestRequires(t *testing.T) {
	for _, tt := range append(realSDPs, []struct{ name, sdp, needs string }{
		{"default direction", sdp(mAudio), "publish subscribe"},
		{"sendrecv", sdp(mAudio, "a=sendrecv"), "publish subscribe"},
		{"sendonly", sdp(mAudio, "a=sendonly"), "publish"},
		{"recvonly", sdp(mAudio, "a=recvonly"), "subscribe"},
		{"inactive", sdp(mAudio, "a=inactive"), ""},
		{"union", sdp(mAudio, "a=recvonly", mVideo, "a=sendonly"), "publish subscribe"},
		{"session's sendrecv gives no direction to a section", sdp("a=sendrecv", mAudio, "a=inactive"), ""},
		{"unknown type", sdp("m=hologram 9 RTP/AVP 0", "a=sendonly"), "publish"},
		{"text", sdp("m=text 9 RTP/AVP 0", "a=recvonly"), "subscribe"},
		{"inactive data", sdp(mData, "a=inactive"), "data"},
		{"rejected data", sdp("m=application 0 UDP/DTLS/SCTP webrtc-datachannel", "a=sendrecv"), ""},
		{"rejected data, then data", sdp("m=application 0 UDP/DTLS/SCTP webrtc-datachannel", mData), "data"},
		{"rejected", sdp("m=video 0 UDP/TLS/RTP/SAVPF 96"), ""},
		{"rejected with a direction", sdp("m=video 0 UDP/TLS/RTP/SAVPF 96", "a=sendonly"), "publish"},
		{"rejected with a stream", sdp("m=video 0 UDP/TLS/RTP/SAVPF 96", "a=ssrc:1 msid:a b"), "publish subscribe"},
		{"rejected with simulcast", sdp("m=video 0 UDP/TLS/RTP/SAVPF 96", "a=rid:h send"), "publish subscribe"},
		{"bundle-only", sdp("m=video 0 UDP/TLS/RTP/SAVPF 96", "a=bundle-only"), "publish subscribe"},
		{"bundle-only belongs to its section", sdp("m=video 0 UDP/TLS/RTP/SAVPF 96", mData, "a=bundle-only"), "data"},
		{"direction within a value", sdp(mAudio, "a=inactive", "a=extmap:3/sendonly urn:x", "a=x-sendonly"), ""},
		{"no name of the session", "v=0\r\ns= \r\n", ""},
		{"candidates", sdp(mData, "a=candidate:1 1 udp 1 192.0.2.1 9 typ host", "a=end-of-candidates"), "data"},
		{"largest port", sdp("m=audio 65535 RTP/AVP 0", "a=sendonly"), "publish"},
		{"as many sections as may be", sdp() + strings.Repeat(mData+"\r\n", maxSections), "data"},
	}...) {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Description{SDP: tt.sdp}.Requires()
			if err != nil || strings.Join(got, " ") != tt.needs {
				t.Errorf("Requires = %v, %v; want [%s]", got, err, tt.needs)
			}
		})
	}
}

func TestRequiresRefusesWhatCouldBeReadTwoWays(t *testing.T) {
	for _, tt := range []struct{ name, sdp, text string }{
		{"empty", "", "line 1"},
		{"no end", "v=0\r\n" + mAudio, "end is missing"},
		{"no version", "s=-\r\n", "v=0 must be the first"},
		{"version 1", "v=1\r\n", "v=0 must be the first"},
		{"second session", sdp("v=0"), "v=0 must be the first"},
		{"empty line", sdp("", mAudio), "not of the form"},
		{"line without value", sdp("a="), "not of the form"},
		{"space before", sdp(mAudio, " a=inactive"), "not of the form"},
		{"upper-case line", sdp(mAudio, "A=inactive"), "not of the form"},
		{"unknown line", sdp("y=1"), "not of the form"},
		{"space after =", sdp(mAudio, "a= inactive"), "space after"},
		{"space before =", sdp(mAudio, "a =inactive"), "not of the form"},
		{"return in a line", sdp(mAudio, "a=inactive\ra=sendonly"), "printable ASCII"},
		{"two returns", sdp(mAudio, "a=inactive\r"), "printable ASCII"},
		{"return alone ends nothing", "v=0\r", "end is missing"},
		{"NUL", sdp(mAudio, "a=inactive\x00"), "printable ASCII"},
		{"tab", sdp("m=audio\t9 RTP/AVP 0"), "printable ASCII"},
		{"line separator", sdp(mAudio, "a=x\u2028a=sendonly"), "printable ASCII"},
		{"session's recvonly", sdp("a=recvonly", mAudio), "belongs into a media section"},
		{"session's inactive", sdp("a=inactive", mAudio), "belongs into a media section"},
		{"session's bundle-only", sdp("a=bundle-only", mAudio), "belongs into a media section"},
		{"session's sendrecv twice", sdp("a=sendrecv", "a=sendrecv"), "second direction"},
		{"two directions", sdp(mAudio, "a=inactive", "a=sendonly"), "second direction"},
		{"the same twice", sdp(mAudio, "a=inactive", "a=inactive"), "second direction"},
		{"two for data", sdp(mData, "a=sendrecv", "a=sendrecv"), "second direction"},
		{"direction with a value", sdp(mAudio, "a=inactive:x"), "stand alone"},
		{"direction with a colon", sdp(mAudio, "a=inactive:"), "stand alone"},
		{"direction with a word", sdp(mAudio, "a=inactive x"), "stand alone"},
		{"direction with a space", sdp(mAudio, "a=inactive "), "stand alone"},
		{"direction in upper case", sdp(mAudio, "a=Inactive"), "stand alone"},
		{"begins with a direction", sdp(mAudio, "a=sendonlyx"), "stand alone"},
		{"bundle-only in upper case", sdp("m=application 0 UDP/DTLS/SCTP 5000", "a=BUNDLE-ONLY"), "stand alone"},
		{"bundle-only with a value", sdp("m=application 0 UDP/DTLS/SCTP 5000", "a=bundle-only:1"), "stand alone"},
		{"candidate after a space", sdp(mData, "a=candidate 1 1 udp 1 192.0.2.1 9 typ host"), "candidate must be written"},
		{"candidate before a colon", sdp(mData, "a=candidate :1 1 udp 1 192.0.2.1 9 typ host"), "candidate must be written"},
		{"candidate in upper case", sdp(mData, "a=CANDIDATE:1 1 udp 1 192.0.2.1 9 typ host"), "candidate must be written"},
		{"candidate in both cases", sdp("a=Candidate:1 1 udp 1 192.0.2.1 9 typ host", mData), "candidate must be written"},
		{"candidate after colon and space", sdp(mData, "a=candidate: 1 1 udp 1 192.0.2.1 9 typ host"), "candidate must be written"},
		{"candidate without value", sdp(mData, "a=candidate:"), "candidate must be written"},
		{"candidate without colon", sdp(mData, "a=candidate"), "candidate must be written"},
		{"begins with candidate", sdp(mData, "a=candidates:1 1 udp 1 192.0.2.1 9 typ host"), "candidate must be written"},
		{"fingerprint after a space", sdp(mData, "a=fingerprint sha-256 1B:42"), "fingerprint must be written"},
		{"fingerprint in upper case", sdp(mData, "a=Fingerprint:sha-256 1B:42"), "fingerprint must be written"},
		{"password after a space", sdp(mData, "a=ice-pwd 6hCx4wlqrV7Yt2F0e9DfKQmP"), "ice-pwd must be written"},
		{"user fragment in upper case", sdp(mData, "a=ICE-UFRAG:Zx1f"), "ice-ufrag must be written"},
		{"colon before the name", sdp(mAudio, "a=:sendonly"), "letter or digit"},
		{"media in upper case", sdp("m=APPLICATION 9 UDP/DTLS/SCTP 5000", "a=inactive"), "media type"},
		{"no media", sdp("m=x/y 9 RTP/AVP 0"), "media type"},
		{"port range", sdp("m=application 0/2 UDP/DTLS/SCTP 5000"), "port"},
		{"port 00", sdp("m=application 00 UDP/DTLS/SCTP 5000"), "port"},
		{"port +0", sdp("m=application +0 UDP/DTLS/SCTP 5000"), "port"},
		{"port -0", sdp("m=application -0 UDP/DTLS/SCTP 5000"), "port"},
		{"port 65536", sdp("m=application 65536 UDP/DTLS/SCTP 5000"), "port"},
		{"no port", sdp("m=audio"), "port"},
		{"two spaces", sdp("m=audio  9 RTP/AVP 0"), "port"},
		{"no formats", sdp("m=audio 9 RTP/AVP"), "formats"},
		{"no protocol", sdp("m=audio 9"), "formats"},
		{"two spaces later", sdp("m=audio 9  RTP/AVP 0"), "formats"},
		{"two spaces before a format", sdp("m=audio 9 RTP/AVP  0"), "formats"},
		{"space at the end", sdp("m=audio 9 RTP/AVP 0 "), "formats"},
		{"too many sections", sdp() + strings.Repeat(mData+"\r\n", maxSections+1), "more than 64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Description{SDP: tt.sdp}.Requires()
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Requires = %v, %v; want an error that says %q", got, err, tt.text)
			}
		})
	}
}

func TestExceeds(t *testing.T) {
	call := sdp(mAudio, "a=sendrecv", mData)
	for _, tt := range []struct{ name, sdp, perms, lacks string }{
		{"all", call, "join data publish subscribe", ""},
		{"in any order", call, "subscribe publish data", ""},
		{"more than needed", sdp(mData), "join data publish", ""},
		{"no data", call, "join publish subscribe", PermData},
		{"no publish", call, "join data subscribe", PermPublish},
		{"no subscribe", call, "join data publish", PermSubscribe},
		{"nothing", sdp(mAudio, "a=recvonly"), "", PermSubscribe},
		{"nothing needed", sdp(), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lacks, err := Description{SDP: tt.sdp}.Exceeds(strings.Fields(tt.perms))
			if err != nil || lacks != tt.lacks {
				t.Errorf("Exceeds = %q, %v; want %q", lacks, err, tt.lacks)
			}
		})
	}
	if lacks, err := (Description{SDP: "v=1\n"}).Exceeds([]string{PermData, PermPublish, PermSubscribe}); err == nil {
		t.Errorf("Exceeds = %q of an SDP that is to be refused, want an error whatever is permitted", lacks)
	}
}

func TestRequiresResultIsTheCallers(t *testing.T) {
	first, _ := Description{SDP: sdp(mData)}.Requires()
	first[0] = PermPublish
	if again, _ := (Description{SDP: sdp(mData)}).Requires(); !cmp.Equal(again, []string{PermData}) {
		t.Errorf("Requires = %v after a caller wrote to its result", again)
	}
}

func BenchmarkExceeds(b *testing.B) {
	d, perms := Description{SDP: realSDPs[1].sdp}, []string{PermJoin, PermData, PermPublish, PermSubscribe}
	b.SetBytes(int64(len(d.SDP)))
	b.ReportAllocs()
	for b.Loop() {
		if lacks, err := d.Exceeds(perms); lacks != "" || err != nil {
			b.Fatal(lacks, err)
		}
	}
}

// A description with more candidates than there may be is refused, by the server and by who gets it.
func TestCandidatesOfADescription(t *testing.T) {
	offer := func(n int) []byte {
		sdp := "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n" +
			strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", n)
		frame, err := EncodeClient("", Offer{Name: "bob", Offer: Description{Type: "offer", SDP: sdp}})
		if err != nil {
			t.Fatal(err)
		}
		return frame
	}
	for _, n := range []int{0, MaxCallCandidate, MaxCallCandidate + 1, 1200} {
		_, atServer := DecodeClient(offer(n))
		_, atPeer := DecodeServer(offer(n))
		if refused := n > MaxCallCandidate; (atServer != nil) != refused || (atPeer != nil) != refused {
			t.Errorf("%d candidates: %v at the server, %v at the peer, want refused: %v", n, atServer, atPeer, refused)
		}
	}
	odd := Description{SDP: sdp(mData, "a=candidate 1 1 udp 1 192.0.2.1 9 typ host")}
	if lacks, err := odd.Exceeds([]string{PermData}); err == nil {
		t.Errorf("Exceeds = %q of a candidate that is not counted, want an error", lacks)
	}
}
