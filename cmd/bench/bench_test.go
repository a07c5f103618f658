package main

import (
	"testing"

	"github.com/sigctl/sigctl/cmd/internal/parts"
)

func TestPartsCanBeRunAlone(t *testing.T) {
	all := measures(options{}, new(table))
	for _, part := range all {
		if picked, err := parts.Pick(all, part.Name); err != nil || len(picked) != 1 {
			t.Errorf("%s: %d parts, error %v, want that part alone", part.Name, len(picked), err)
		}
	}
}

// The calls of one session must not come too often for the server, however fast they are.
func TestRelayCallsFitOneSession(t *testing.T) {
	const atOnce = 20 // offers or answers of a session: signal.Rates
	if callsPerPair > atOnce {
		t.Errorf("%d calls of a pair of sessions, each with an offer and an answer: the server takes %d at once", callsPerPair, atOnce)
	}
}
