package signal

import (
	"fmt"
	"slices"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// Bounds of what is remembered of a session's calls. Beyond, the oldest is
// forgotten, so that nobody can keep another from calling.
const (
	maxCalls         = 64
	maxCallsPerParty = 8
)

// call is what the server remembers of a call: with whom, so that they are told
// when this session's connection is lost, and how many candidates it has sent.
type call struct {
	party, id  string
	candidates int
}

// calls are a session's, oldest first. The zero value is empty.
type calls []call

// touch returns the call, which is remembered from now on.
func (cs *calls) touch(party, id string) *call {
	if i := cs.index(party, id); i >= 0 {
		return &(*cs)[i]
	}
	same := func(c call) bool { return c.party == party }
	if cs.count(same) >= maxCallsPerParty {
		cs.drop(slices.IndexFunc(*cs, same))
	} else if len(*cs) >= maxCalls {
		cs.drop(0)
	}
	*cs = append(*cs, call{party: party, id: id})
	return &(*cs)[len(*cs)-1]
}

// addCandidates counts what the session sent in a call.
func (cs *calls) addCandidates(party, id string, n int) error {
	c := cs.touch(party, id)
	if c.candidates+n > protocol.MaxCallCandidate {
		return protocol.Error{
			Code: protocol.CodeRateLimited, Name: party, Call: id,
			Message: fmt.Sprintf("more than %d candidates in one call", protocol.MaxCallCandidate),
		}
	}
	c.candidates += n
	return nil
}

// forget removes the call, if it is there.
func (cs *calls) forget(party, id string) {
	if i := cs.index(party, id); i >= 0 {
		cs.drop(i)
	}
}

func (cs *calls) index(party, id string) int {
	return slices.IndexFunc(*cs, func(c call) bool { return c.party == party && c.id == id })
}

func (cs *calls) count(match func(call) bool) (n int) {
	for _, c := range *cs {
		if match(c) {
			n++
		}
	}
	return n
}

// drop removes one entry; the last one takes the memory along.
func (cs *calls) drop(i int) {
	if *cs = slices.Delete(*cs, i, i+1); len(*cs) == 0 {
		*cs = nil
	}
}
