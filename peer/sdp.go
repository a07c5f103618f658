package peer

import "strings"

// Two peers of this package save a round trip by carrying SCTP's INIT chunks in
// their descriptions (draft-hancke-tsvwg-snap). The attribute travels under a
// private name: nothing proves pion's form against a browser that ships the
// draft one day, and a browser certainly ignores this one.
const (
	lineSNAP   = "\na=sctp-init:"
	lineSigctl = "\na=x-sigctl-sctp-init:"
)

// outgoingSDP makes of a description of pion's what the other side gets: the
// attribute under its private name, and each candidate once. Pion repeats them for
// RTCP, which data channels do not have.
func outgoingSDP(sdp string) string {
	var out strings.Builder
	for line := range strings.Lines(sdp) {
		rest, isCandidate := strings.CutPrefix(line, "a=candidate:")
		if fields := strings.SplitN(rest, " ", 3); isCandidate && len(fields) == 3 && fields[1] == "2" {
			continue
		}
		out.WriteString(line)
	}
	return strings.ReplaceAll(out.String(), lineSNAP, lineSigctl)
}

// incomingSDP undoes outgoingSDP, and drops the attribute where it came under its
// public name.
func incomingSDP(sdp string) string {
	for {
		before, rest, found := strings.Cut(sdp, lineSNAP)
		if !found {
			return strings.ReplaceAll(sdp, lineSigctl, lineSNAP)
		}
		_, after, _ := strings.Cut(rest, "\n")
		sdp = before + "\n" + after
	}
}

// offersSNAP reports whether a description came from a peer of this package.
func offersSNAP(sdp string) bool { return strings.Contains(sdp, lineSigctl) }
