package signal

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// room is where sessions find each other: messages go between members only.
type room struct {
	name string // set at construction

	places int // taken by hub.claim; guarded by hub.mu

	mu       sync.Mutex
	members  map[string]*session
	presence presence
}

func newRoom(name string) *room {
	return &room{name: name, members: map[string]*session{}}
}

// join takes the session in. Who has read the welcome can be called, and nothing
// that a member has to say comes before it.
func (r *room) join(s *session, ref string, welcome protocol.LoginReply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.members[s.name]; old != nil {
		r.leaveLocked(old, protocol.CloseReplaced)
	}
	r.members[s.name] = s
	s.conn.send(ref, welcome)
	r.changedLocked(s.name, true, "")
}

// leave takes the session out and tells those it was in a call with.
func (r *room) leave(s *session, code protocol.CloseCode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.members[s.name] == s { // not replaced
		r.leaveLocked(s, code)
	}
}

func (r *room) leaveLocked(s *session, code protocol.CloseCode) {
	delete(r.members, s.name)
	r.unwatchLocked(s)
	r.hangUpLocked(s, protocol.ReasonDisconnected)
	r.changedLocked(s.name, false, code.String())
}

// hangUp leaves every call of s.
func (r *room) hangUp(s *session, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hangUpLocked(s, reason)
}

// hangUpLocked tells those who know of the calls. Of each call they are told once, and nobody knows
// of more than maxCalls: so others cannot fill a client's queue with ends of calls.
func (r *room) hangUpLocked(s *session, reason string) {
	left := s.calls
	s.calls = nil
	for _, c := range left {
		if other := r.members[c.party]; other != nil && other.calls.forget(s.name, c.id) {
			other.conn.send("", protocol.Leave{Name: s.name, Call: c.id, Reason: reason})
		}
	}
}

// watch tells s who is here, and from now on who comes and goes. Presence is for
// those who ask: telling everybody about everybody costs the square of the room.
func (r *room) watch(s *session, ref string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchLocked(s)
	total := len(r.members) - 1
	list := protocol.PeerList{Peers: make([]protocol.Peer, 0, min(total, protocol.MaxPeers)), Total: total}
	for name := range r.members {
		if len(list.Peers) == protocol.MaxPeers {
			break // in a large room everybody waits for this lock
		}
		if name != s.name {
			list.Peers = append(list.Peers, protocol.Peer{Name: name})
		}
	}
	slices.SortFunc(list.Peers, func(a, b protocol.Peer) int { return strings.Compare(a.Name, b.Name) })
	s.conn.send(ref, list)
}

// forward carries a message to the member whom it names, and remembers the call.
// A member that goes at this moment does not take the message with it unnoticed:
// it was in a call with the sender, who is told that it left.
func (r *room) forward(from *session, m protocol.Forwarded) error {
	frame := from.conn.server.encode("", m.From(from.name, from.permissions))
	to, fault := r.carry(from, m, frame)
	if fault.Code != "" {
		fault.Name, fault.Call = m.Party()
		return fault
	}
	to.conn.wake()
	return nil
}

// maxForwarded leaves room for the number that a frame gets at last.
const maxForwarded = protocol.MaxFrame - len(`,"seq":18446744073709551615`)

// carry queues the frame of a message for the member whom m names. A message that is refused leaves
// no trace of its call: so nobody is told of the end of a call that they have not heard of.
func (r *room) carry(from *session, m protocol.Forwarded, frame []byte) (*session, protocol.Error) {
	name, id := m.Party()
	r.mu.Lock()
	defer r.mu.Unlock()
	to := r.members[name]
	switch {
	case name == from.name:
		return nil, protocol.Error{Code: protocol.CodePeerOffline, Message: "this is your own name"}
	case to == nil:
		from.calls.forget(name, id)
		return nil, protocol.Error{Code: protocol.CodePeerOffline, Message: name + " is not here"}
	case len(frame) > maxForwarded:
		return nil, protocol.Error{Code: protocol.CodeTooLarge, Message: "message is too large to be carried"}
	case from.calls.candidates(name, id, m)+candidatesIn(m) > protocol.MaxCallCandidate:
		return nil, protocol.Error{
			Code:    protocol.CodeRateLimited,
			Message: fmt.Sprintf("more than %d candidates with one description", protocol.MaxCallCandidate),
		}
	case !to.conn.carry(message{frame, from.name}, precedenceOf(m)):
		return nil, protocol.Error{
			Code: protocol.CodeBusy, RetryAfter: busyRetry,
			Message: "too many messages are waiting for " + name + ": try again in a moment",
		}
	}
	remember(from, to, m)
	return to, protocol.Error{}
}

// busyRetry is when a sender should try again, in seconds.
const busyRetry = 1

func precedenceOf(m protocol.Forwarded) precedence {
	switch m.(type) {
	case protocol.Offer, protocol.Answer, protocol.Candidate, protocol.Candidates:
		return bulk
	}
	return urgent
}

func candidatesIn(m protocol.Forwarded) int {
	switch m := m.(type) {
	case protocol.Candidate:
		return 1
	case protocol.Candidates:
		return len(m.Candidates)
	case protocol.Offer:
		return m.Offer.Candidates()
	case protocol.Answer:
		return m.Answer.Candidates()
	}
	return 0
}

// remember notes what a message means for its call.
func remember(from, to *session, m protocol.Forwarded) {
	name, id := m.Party()
	switch m.(type) {
	case protocol.Leave, protocol.Reject:
		from.calls.forget(name, id)
		to.calls.forget(from.name, id)
	case protocol.Candidate, protocol.Candidates:
		from.calls.said(name, id).addCandidates(m)
	default:
		from.calls.said(name, id).addCandidates(m)
		to.calls.touch(from.name, id)
	}
}
