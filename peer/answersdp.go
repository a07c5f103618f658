package peer

import (
	"slices"
	"strings"
)

// answer returns pion's answer to r with an answer to each section that pion did not
// see: inactive where it shares the transport of the data section, else rejected.
// Stacks that were never sent media take no rejection without a mid.
func (r *remoteSDP) answer(pions string) string {
	session, data, _ := strings.Cut(pions, "\r\nm=")
	if len(r.sections) == 1 && r.bundle != nil {
		return pions
	}
	var out sdpWriter
	for line := range strings.SplitSeq(session, "\r\n") {
		if !strings.HasPrefix(line, "a=group:BUNDLE") {
			out.line(line)
		} else if r.bundle != nil {
			out.line("a=group:BUNDLE " + strings.Join(r.bundle, " "))
		}
	}
	ours := strings.Split(strings.TrimSuffix("m="+data, "\r\n"), "\r\n")
	for i, s := range r.sections {
		switch {
		case i == r.data:
			writeLines(&out, ours)
		case slices.Contains(r.bundle, s.mid):
			s.inactive(&out, ours, i == r.transport)
		default:
			s.reject(&out)
		}
	}
	return out.String()
}

// inactive answers a section that neither side sends in, over the transport that ours,
// the data section of the answer, describes.
func (s sdpSection) inactive(out *sdpWriter, ours []string, transport bool) {
	format := s.field(3)
	out.line("m=" + s.field(0) + " 9 " + s.field(2) + " " + format)
	out.line("c=IN IP4 0.0.0.0")
	for _, line := range ours {
		if isTransport(line) || transport && isCandidate(line) {
			out.line(line)
		}
	}
	out.line("a=mid:" + s.mid)
	for _, line := range s.lines {
		if line == "a=rtcp-mux" || strings.HasPrefix(line, "a=rtpmap:"+format+" ") || strings.HasPrefix(line, "a=fmtp:"+format+" ") {
			out.line(line)
		}
	}
	out.line("a=inactive")
}

func (s sdpSection) reject(out *sdpWriter) {
	fields := strings.Fields(s.lines[0])
	out.line(strings.Join(slices.Concat(fields[:1], []string{"0"}, fields[min(2, len(fields)):]), " "))
	out.line("c=IN IP4 0.0.0.0")
	if s.mid != "" {
		out.line("a=mid:" + s.mid)
	}
	out.line("a=inactive")
}

func writeLines(out *sdpWriter, lines []string) {
	for _, line := range lines {
		out.line(line)
	}
}
