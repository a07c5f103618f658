package protocol

import (
	"strconv"
	"strings"
	"testing"

	pionsdp "github.com/pion/sdp/v3"
)

// FuzzRequires lets others read what we accepted: none may find in it what we did
// not demand a permission for.
func FuzzRequires(f *testing.F) {
	for _, tt := range realSDPs {
		f.Add(tt.sdp)
	}
	for _, lines := range []string{
		"a=sendonly\ra=inactive", "a=sendonly foo", "a=sendonly:x", "a=SENDONLY", "a=:sendonly", "a= sendonly", " a=sendonly", "a=inactive\na=sendonly",
		"m=application 9/2 UDP/DTLS/SCTP webrtc-datachannel", "m=APPLICATION 9 UDP/DTLS/SCTP webrtc-datachannel", "m=application 65536 DTLS/SCTP 5000",
		"m=video 0 UDP/TLS/RTP/SAVPF 96\na=bundle-only:x", "m=video 00 UDP/TLS/RTP/SAVPF 96\na=sendonly", "m=video 0 UDP/TLS/RTP/SAVPF 96\na=ssrc:1 cname:x",
		"m=audio 0 UDP/TLS/RTP/SAVPF 0\na=inactive\na=rid:h send", "\na=sendonly", "v=0", "a=recvonly\x00", "m=audio\t9  RTP/AVP 0",
		"a=candidate:1 1 udp 1 192.0.2.1 9 typ host", "a=candidate 1 1 udp 1 192.0.2.1 9 typ host", "a=candidate :1 1 udp 1 192.0.2.1 9 typ host",
		"a=CANDIDATE:1 1 udp 1 192.0.2.1 9 typ host", "a=candidate\t1 1 udp 1 192.0.2.1 9 typ host", "a=end-of-candidates",
		"a=sendonly\r\na=inactive", "a=inactive\ra=sendonly", "a=inactive foo", "m=video 00 UDP/TLS/RTP/SAVPF 96", "a=recvonly",
		"m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=sendonly", "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=bundle-only:x",
	} {
		f.Add(sdp(mVideo, lines))
		f.Add(sdp(mVideo, "a=inactive", lines))
		f.Add(sdp(lines, mVideo, "a=inactive"))
	}
	readers := map[string]func(string) needs{"pion": pionReads, "libwebrtc": libwebrtcReads, "sipcc": sipccReads}
	f.Fuzz(func(t *testing.T, text string) {
		ours, err := readNeeds(text)
		if err != nil {
			return
		}
		for name, read := range readers {
			if missed := read(text) &^ ours; missed != 0 {
				t.Errorf("%s finds in %q needs %03b that we do not", name, text, missed)
			}
		}
		if got, want := (Description{SDP: text}).Candidates(), sipccCandidates(text); got < want {
			t.Errorf("sipcc finds %d candidates in %q, we %d", want, text, got)
		}
	})
}

// The readers must be able to find something, or the fuzz test asserts nothing.
func TestReadersAgreeOnRealSDPs(t *testing.T) {
	for name, read := range map[string]func(string) needs{"pion": pionReads, "libwebrtc": libwebrtcReads, "sipcc": sipccReads} {
		for _, tt := range realSDPs {
			ours, err := readNeeds(tt.sdp)
			if got := read(tt.sdp); err != nil || got != ours {
				t.Errorf("%s finds in %s needs %03b, we %03b, %v", name, tt.name, got, ours, err)
			}
		}
	}
}

// pionReads does what pion/webrtc does with pion/sdp: the first direction counts
// whatever the port, none at all is sendrecv to a transceiver that exists, and the
// port and bundle-only matter to data channels alone.
func pionReads(text string) (n needs) {
	var parsed pionsdp.SessionDescription
	if parsed.UnmarshalString(text) != nil {
		return 0
	}
	for _, m := range parsed.MediaDescriptions {
		_, bundle := m.Attribute("bundle-only")
		_, ssrc := m.Attribute(pionsdp.AttrKeySSRC)
		_, rid := m.Attribute("rid")
		_, recvonly := m.Attribute(pionsdp.AttrKeyRecvOnly)
		_, inactive := m.Attribute(pionsdp.AttrKeyInactive)
		if m.MediaName.Media == "application" {
			if m.MediaName.Port.Value != 0 || bundle {
				n |= needData
			}
			continue
		}
		if (ssrc || rid) && !recvonly && !inactive {
			n |= needPublish
		}
		directed := false
		for _, a := range m.Attributes {
			if dir, err := pionsdp.NewDirection(a.Key); err == nil && !directed {
				directed = true
				n |= needsOf(dir.String())
			}
		}
		if !directed && (m.MediaName.Port.Value != 0 || bundle) {
			n |= needsOf("sendrecv")
		}
	}
	return n
}

func needsOf(direction string) needs {
	switch direction {
	case "sendrecv":
		return needPublish | needSubscribe
	case "sendonly":
		return needPublish
	case "recvonly":
		return needSubscribe
	}
	return 0
}

// libwebrtcReads reads as Chromium and Safari do: lines end at a line feed, one
// return before it goes; an attribute matches by its beginning if then comes a
// colon, a space or nothing; the last direction counts; port "0" without
// bundle-only rejects.
func libwebrtcReads(text string) needs {
	is := func(attribute, name string) bool {
		rest, ok := strings.CutPrefix(attribute, name)
		return ok && (rest == "" || rest[0] == ':' || rest[0] == ' ')
	}
	return lastDirectionCounts(text, "\n", func(line string) string { return line }, func(s *looseSection, a string) {
		for _, dir := range []string{"sendrecv", "sendonly", "recvonly", "inactive"} {
			if is(a, dir) {
				s.direction = dir
			}
		}
		s.bundle = s.bundle || is(a, "bundle-only")
	})
}

// sipccReads reads as Firefox does: names in any case, what separates them is
// skipped before and after; lines end at a return, too.
func sipccReads(text string) needs {
	return lastDirectionCounts(text, "\r\n", strings.ToLower, func(s *looseSection, a string) {
		switch name := sipccName(a); name {
		case "sendrecv", "sendonly", "recvonly", "inactive":
			s.direction = name
		case "bundle-only":
			s.bundle = true
		}
	})
}

// sipccCandidates counts the candidates that Firefox finds.
func sipccCandidates(text string) (n int) {
	lastDirectionCounts(text, "\r\n", strings.ToLower, func(_ *looseSection, a string) {
		if sipccName(a) == "candidate" {
			n++
		}
	})
	return n
}

// sipccName returns the name of an attribute.
func sipccName(attribute string) string {
	name := strings.TrimLeft(attribute, ": \t")
	if i := strings.IndexAny(name, ": \t"); i >= 0 {
		name = name[:i]
	}
	return name
}

type looseSection struct {
	media, direction string
	rejected, bundle bool
}

// lastDirectionCounts reads sections line by line, as loosely as it can.
func lastDirectionCounts(text, ends string, fold func(string) string, attribute func(*looseSection, string)) (n needs) {
	session := looseSection{direction: "sendrecv"}
	s := session
	finish := func() {
		switch {
		case s.media == "" || s.rejected && !s.bundle:
		case s.media == "application":
			n |= needData
		default:
			n |= needsOf(s.direction)
		}
	}
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(ends, r) }) {
		line = strings.TrimSuffix(line, "\r")
		if m, ok := strings.CutPrefix(line, "m="); ok {
			finish()
			if s.media == "" {
				session = s
			}
			fields := strings.FieldsFunc(m, func(r rune) bool { return r == ' ' || r == '\t' || r == '/' })
			s = looseSection{direction: session.direction}
			if len(fields) > 1 {
				port, err := strconv.Atoi(fields[1])
				s.media, s.rejected = fold(fields[0]), err == nil && port == 0
			}
		} else if a, ok := strings.CutPrefix(line, "a="); ok {
			attribute(&s, fold(a))
		}
	}
	finish()
	return n
}
