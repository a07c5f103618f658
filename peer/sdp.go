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

// outgoingSDP gives a description of pion's the private name.
func outgoingSDP(sdp string) string { return strings.ReplaceAll(sdp, lineSNAP, lineSigctl) }

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
