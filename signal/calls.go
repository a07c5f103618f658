package signal

import (
	"slices"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// Bounds of what is remembered of a session's calls. Beyond, the oldest in which the session has
// said nothing is forgotten, or else the oldest: nobody can keep another from calling, and callers
// who are not answered do not make the server forget the calls that are.
const (
	maxCalls         = 64
	maxCallsPerParty = 8
)

// call is what the server remembers of a session's call: with whom, so that they are told when the
// session's connection is lost, and how many candidates the session has sent.
type call struct {
	party, id  string
	candidates int  // with its latest description; those before the first one count with that
	described  bool // the session has sent a description
	answered   bool // the session has said something in it
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
		cs.dropOldest(same)
	} else if len(*cs) >= maxCalls {
		cs.dropOldest(func(call) bool { return true })
	}
	*cs = append(*cs, call{party: party, id: id})
	return &(*cs)[len(*cs)-1]
}

// said is touch for a call in which the session itself says something.
func (cs *calls) said(party, id string) *call {
	c := cs.touch(party, id)
	c.answered = true
	return c
}

// candidates returns how many the session has sent in the call that count with m.
func (cs *calls) candidates(party, id string, m protocol.Forwarded) int {
	if i := cs.index(party, id); i >= 0 {
		return (*cs)[i].candidatesBefore(m)
	}
	return 0
}

// candidatesBefore returns how many candidates count with m. A description begins anew, but for
// the first one.
func (c *call) candidatesBefore(m protocol.Forwarded) int {
	if isDescription(m) && c.described {
		return 0
	}
	return c.candidates
}

// addCandidates counts those that the session sent with m.
func (c *call) addCandidates(m protocol.Forwarded) {
	c.candidates = c.candidatesBefore(m) + candidatesIn(m)
	c.described = c.described || isDescription(m)
}

func isDescription(m protocol.Forwarded) bool {
	switch m.(type) {
	case protocol.Offer, protocol.Answer:
		return true
	}
	return false
}

// forget removes the call, and reports whether it was there.
func (cs *calls) forget(party, id string) bool {
	i := cs.index(party, id)
	if i >= 0 {
		cs.drop(i)
	}
	return i >= 0
}

// dropOldest drops the oldest call that matches, one that is not answered if there is one.
func (cs *calls) dropOldest(match func(call) bool) {
	i := slices.IndexFunc(*cs, func(c call) bool { return match(c) && !c.answered })
	if i < 0 {
		i = slices.IndexFunc(*cs, match)
	}
	cs.drop(i)
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
