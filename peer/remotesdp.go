package peer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// remoteSDP is a description of the other side. A call carries data only, so pion gets
// to see the data section alone: for any media section it would start SRTP, which keeps
// state for every SSRC that ever arrives. Candidates are taken out, too, and join those
// that come one by one, so that both are counted in one place.
type remoteSDP struct {
	session   []string // lines before the first section
	sections  []sdpSection
	bundle    []string // mids of the data section's BUNDLE group, those that can be accepted; nil is no group
	data      int      // index of the data section
	transport int      // index of the section that describes its transport
}

// sdpSection is a media section. Its first line is the m= line.
type sdpSection struct {
	lines []string
	mid   string
}

var errNoDataSection = errors.New("description has no data section")

const maxSections = 64 // as many as the server lets through

// readRemote reads a description that the other side sent.
func readRemote(sdp string) (*remoteSDP, error) {
	r := &remoteSDP{data: -1}
	for line := range strings.Lines(sdp) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		if err := checkSDPLine(line); err != nil {
			return nil, err
		}
		r.add(line)
	}
	if err := r.checkSections(); err != nil {
		return nil, err
	}
	r.data = slices.IndexFunc(r.sections, sdpSection.isData)
	if r.data < 0 {
		return nil, errNoDataSection
	}
	r.findTransport()
	return r, nil
}

func (r *remoteSDP) checkSections() error {
	if len(r.sections) > maxSections {
		return fmt.Errorf("description has %d sections, more than %d", len(r.sections), maxSections)
	}
	for i, s := range r.sections {
		if s.mid != "" && r.index(s.mid) != i {
			return fmt.Errorf("description has two sections with mid %q", printable(s.mid))
		}
	}
	return nil
}

// checkSDPLine refuses what pion might read as more than one line.
func checkSDPLine(line string) error {
	if len(line) < 2 || line[0] < 'a' || line[0] > 'z' || line[1] != '=' || strings.ContainsAny(line, "\r\n\x00") {
		return fmt.Errorf("description has a line %q that is not of the form x=value", printable(line[:min(len(line), 32)]))
	}
	return nil
}

func (r *remoteSDP) add(line string) {
	if strings.HasPrefix(line, "m=") {
		r.sections = append(r.sections, sdpSection{lines: []string{line}})
		return
	}
	if len(r.sections) == 0 {
		r.session = append(r.session, line)
		return
	}
	last := &r.sections[len(r.sections)-1]
	last.lines = append(last.lines, line)
	if mid, ok := strings.CutPrefix(line, "a=mid:"); ok && last.mid == "" {
		last.mid = mid
	}
}

// findTransport finds the BUNDLE group of the data section. Its first section describes
// the transport of all (RFC 9143, section 7.2).
func (r *remoteSDP) findTransport() {
	r.transport = r.data
	for _, line := range r.session {
		group, ok := strings.CutPrefix(line, "a=group:BUNDLE ")
		mids := strings.Fields(group)
		if !ok || !slices.Contains(mids, r.sections[r.data].mid) {
			continue
		}
		for _, mid := range mids {
			i := r.index(mid)
			if accepted := i == r.data || i >= 0 && r.sections[i].isMedia(); accepted && !slices.Contains(r.bundle, mid) {
				r.bundle = append(r.bundle, mid)
			}
		}
		if first := r.index(r.bundle[0]); r.sections[first].describesTransport() {
			r.transport = first
		}
		return
	}
}

// index returns the index of the section with a mid, or -1.
func (r *remoteSDP) index(mid string) int {
	return slices.IndexFunc(r.sections, func(s sdpSection) bool { return s.mid == mid })
}

// isData and isMedia report what a section is for. One that is rejected is for nothing.
func (s sdpSection) isData() bool  { return s.field(0) == "application" && !s.rejected() }
func (s sdpSection) isMedia() bool { return s.field(0) != "application" && !s.rejected() }

func (s sdpSection) rejected() bool {
	return s.field(3) == "" || s.field(1) == "0" && !slices.Contains(s.lines, "a=bundle-only")
}

func (s sdpSection) describesTransport() bool {
	return slices.ContainsFunc(s.lines, func(line string) bool { return strings.HasPrefix(line, "a=ice-ufrag:") })
}

// field returns a field of the m= line: media, port, protocol, then formats.
func (s sdpSection) field(i int) string {
	if fields := strings.Fields(s.lines[0]); i < len(fields) {
		return strings.TrimPrefix(fields[i], "m=")
	}
	return ""
}

// isTransport reports whether a line describes a section's transport.
func isTransport(line string) bool {
	for _, name := range [...]string{"ice-ufrag:", "ice-pwd:", "ice-options:", "fingerprint:", "setup:"} {
		if strings.HasPrefix(line, "a="+name) {
			return true
		}
	}
	return false
}

// isCredential reports whether a line has the ICE user fragment or password.
func isCredential(line string) bool {
	return strings.HasPrefix(line, "a=ice-ufrag:") || strings.HasPrefix(line, "a=ice-pwd:")
}

func isCandidate(line string) bool {
	return strings.HasPrefix(line, "a=candidate:") || line == "a=end-of-candidates"
}

// forPion returns the description with the data section alone.
func (r *remoteSDP) forPion() string {
	var out sdpWriter
	data := r.sections[r.data]
	described := r.sections[r.transport].describesTransport()
	for _, line := range r.session {
		// Pion would prefer the session's credentials to those of the section.
		if !isCandidate(line) && !strings.HasPrefix(line, "a=group:") && !(described && isCredential(line)) {
			out.line(line)
		}
	}
	if data.mid != "" {
		out.line("a=group:BUNDLE " + data.mid)
	}
	out.line("m=application 9 " + strings.Join(strings.Fields(data.lines[0])[2:], " "))
	for _, line := range data.lines[1:] {
		if !isCandidate(line) && line != "a=bundle-only" && (r.transport == r.data || !isTransport(line)) {
			out.line(line)
		}
	}
	if r.transport != r.data {
		for _, line := range r.sections[r.transport].lines {
			if isTransport(line) {
				out.line(line)
			}
		}
	}
	return out.String()
}

// candidates returns the candidates of the transport.
func (r *remoteSDP) candidates() (list []*protocol.CandidateInit) {
	for _, line := range r.sections[r.transport].lines {
		if strings.HasPrefix(line, "a=candidate:") {
			list = append(list, &protocol.CandidateInit{Candidate: line[len("a="):]})
		}
	}
	return list
}

// size returns the least bytes that the description takes as JSON, without candidates.
func (r *remoteSDP) size() int {
	n := len(`{"type":"offer","name":"","offer":{"type":"offer","sdp":""}}`)
	for _, line := range r.session {
		n += lineSize(line)
	}
	for _, s := range r.sections {
		for _, line := range s.lines {
			if !isCandidate(line) {
				n += lineSize(line)
			}
		}
	}
	return n
}

func lineSize(line string) int { return len(line) + len(`\n`) }

// concerns reports whether a candidate is one of the transport. Browsers gather for each
// section until they know that all share one.
func (r *remoteSDP) concerns(c *protocol.CandidateInit) bool {
	if c.SDPMid == nil || *c.SDPMid == "" || *c.SDPMid == r.sections[r.transport].mid {
		return true
	}
	return r.index(*c.SDPMid) < 0
}

// password returns the ICE password that pion gets: that of the transport's section, or the
// session's if the section has no credentials.
func (r *remoteSDP) password() string {
	if s := r.sections[r.transport]; s.describesTransport() {
		return icePassword(s.lines)
	}
	return icePassword(r.session)
}

func icePassword(lines []string) string {
	for _, line := range lines {
		if pwd, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok {
			return pwd
		}
	}
	return ""
}

// sdpWriter builds an SDP.
type sdpWriter struct{ strings.Builder }

func (w *sdpWriter) line(text string) { w.WriteString(text + "\r\n") }
