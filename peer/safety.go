package peer

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// safetyCode returns six groups of five digits that both ends of a call derive
// alike from the DTLS fingerprints and the call's id. Two people who read the same
// code to each other know that nobody sits between them. The page does the same:
// the fingerprints in bytewise order and the id, one per line, through SHA-256;
// each group is a big-endian 40-bit number of the digest, modulo 100000.
func safetyCode(fingerprint1, fingerprint2, callID string) string {
	lines := []string{fingerprint1, fingerprint2}
	slices.Sort(lines)
	digest := sha256.Sum256([]byte(strings.Join(append(lines, callID), "\n")))
	groups := make([]string, 6)
	for i := range groups {
		var n uint64
		for _, b := range digest[5*i : 5*i+5] {
			n = n<<8 | uint64(b)
		}
		groups[i] = fmt.Sprintf("%05d", n%100000)
	}
	return strings.Join(groups, " ")
}

// fingerprintOf returns the SHA-256 fingerprint of a certificate in DER as
// upper-case hex with colons (RFC 8122, section 5).
func fingerprintOf(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}
