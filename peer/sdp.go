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

// outgoingSDP turns a description of pion's into what the other side gets: the
// attribute under its private name, each candidate once, and relay candidates without
// our own address. Pion repeats candidates for RTCP, which data channels do not have.
func outgoingSDP(sdp string) string {
	var out strings.Builder
	for line := range strings.Lines(sdp) {
		if rest, ok := strings.CutPrefix(line, "a=candidate:"); ok {
			if fields := strings.SplitN(rest, " ", 3); len(fields) == 3 && fields[1] == "2" {
				continue
			}
			text := strings.TrimRight(line, "\r\n")
			line = withoutBase(text) + line[len(text):]
		}
		out.WriteString(line)
	}
	return strings.ReplaceAll(out.String(), lineSNAP, lineSigctl)
}

// withoutBase returns a candidate with the address that the relay knows us by, which
// pion puts into raddr and rport, replaced by zeros if it is a relay candidate (RFC
// 8839, section 5.1). Whoever calls through a relay may do so to hide that address.
func withoutBase(candidate string) string {
	fields := strings.Split(candidate, " ")
	const address, typ, kind = 4, 6, 7
	if len(fields) <= kind || fields[typ] != "typ" || fields[kind] != "relay" {
		return candidate
	}
	for i := kind + 1; i+1 < len(fields); i += 2 {
		switch fields[i] {
		case "raddr":
			fields[i+1] = "0.0.0.0"
			if strings.Contains(fields[address], ":") {
				fields[i+1] = "::"
			}
		case "rport":
			fields[i+1] = "0"
		}
	}
	return strings.Join(fields, " ")
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
