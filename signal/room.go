package signal

import (
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
	watchers map[*session]struct{} // members that asked who is here
}

func newRoom(name string) *room {
	return &room{name: name, members: map[string]*session{}, watchers: map[*session]struct{}{}}
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
	r.tellWatchersLocked(protocol.Joined{Name: s.name, Room: r.name})
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
	delete(r.watchers, s)
	r.hangUpLocked(s, protocol.ReasonDisconnected)
	r.tellWatchersLocked(protocol.Left{Name: s.name, Room: r.name, Reason: code.String()})
}

// hangUp leaves every call of s.
func (r *room) hangUp(s *session, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hangUpLocked(s, reason)
}

func (r *room) hangUpLocked(s *session, reason string) {
	left := s.calls
	s.calls = nil
	for _, c := range left {
		if other := r.members[c.party]; other != nil {
			other.calls.forget(s.name, c.id)
			other.conn.send("", protocol.Leave{Name: s.name, Call: c.id, Reason: reason})
		}
	}
}

func (r *room) tellWatchersLocked(m protocol.FromServer) {
	if len(r.watchers) == 0 {
		return
	}
	frame, err := protocol.EncodeServer("", m)
	if err != nil {
		return // our own types always encode
	}
	for w := range r.watchers {
		w.conn.enqueue(slices.Clone(frame))
	}
}

// watch tells s who is here, and from now on who comes and goes. Presence is for
// those who ask: telling everybody about everybody costs the square of the room.
func (r *room) watch(s *session, ref string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchers[s] = struct{}{}
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
	to, err := r.route(from, m)
	if err != nil {
		return err
	}
	frame := to.conn.server.encode("", m.From(from.name, from.permissions))
	if len(frame) > maxForwarded {
		name, id := m.Party()
		return protocol.Error{Code: protocol.CodeTooLarge, Message: "message is too large to be carried", Name: name, Call: id}
	}
	to.conn.deliver(frame)
	return nil
}

// maxForwarded leaves room for the number that a frame gets at last.
const maxForwarded = protocol.MaxFrame - len(`,"seq":18446744073709551615`)

func (r *room) route(from *session, m protocol.Forwarded) (to *session, err error) {
	name, id := m.Party()
	if name == from.name {
		return nil, protocol.Error{Code: protocol.CodePeerOffline, Message: "this is your own name", Name: name, Call: id}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if to = r.members[name]; to == nil {
		from.calls.forget(name, id)
		return nil, protocol.Error{Code: protocol.CodePeerOffline, Message: name + " is not here", Name: name, Call: id}
	}
	switch m := m.(type) {
	case protocol.Leave, protocol.Reject:
		from.calls.forget(name, id)
		to.calls.forget(from.name, id)
	case protocol.Candidate:
		err = from.calls.addCandidates(name, id, 1)
	case protocol.Candidates:
		err = from.calls.addCandidates(name, id, len(m.Candidates))
	default:
		from.calls.touch(name, id)
		to.calls.touch(from.name, id)
	}
	return to, err
}
