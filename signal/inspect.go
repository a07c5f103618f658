package signal

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// SessionInfo describes a user who is logged in.
type SessionInfo struct {
	User        string     `json:"user"`
	Room        string     `json:"room"`
	Session     string     `json:"session"`
	Address     netip.Addr `json:"address"` // as proxies tell it
	Method      string     `json:"method"`  // how the user logged in
	Since       time.Time  `json:"since"`
	Expires     time.Time  `json:"expires,omitzero"` // zero: never
	Permissions []string   `json:"permissions"`
}

// RoomInfo describes a room that somebody is in.
type RoomInfo struct {
	Room    string `json:"room"`
	Members int    `json:"members"`
	Max     int    `json:"max,omitempty"` // 0: no limit
	ICE     string `json:"ice,omitempty"` // "relay": its calls are relayed
}

// List returns every session, by user name.
func (s *Server) List() []SessionInfo {
	var list []SessionInfo
	for _, session := range s.hub.list() {
		list = append(list, session.info())
	}
	slices.SortFunc(list, func(a, b SessionInfo) int { return cmp.Compare(a.User, b.User) })
	return list
}

func (s *session) info() SessionInfo {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	info := SessionInfo{
		User: s.name, Room: s.room.name, Session: s.conn.id, Address: s.conn.client, Method: s.method,
		Since: time.Unix(s.since, 0).UTC(), Permissions: s.permissions,
	}
	if s.expires != 0 {
		info.Expires = time.Unix(s.expires, 0).UTC()
	}
	return info
}

// Rooms returns every room that somebody is in, by name.
func (s *Server) Rooms() []RoomInfo {
	p := s.cfg.Policy()
	var list []RoomInfo
	for name, members := range s.hub.roomSizes() {
		rules := p.Room(name)
		list = append(list, RoomInfo{name, members, rules.MaxMembers, rules.ICETransportPolicy})
	}
	slices.SortFunc(list, func(a, b RoomInfo) int { return cmp.Compare(a.Room, b.Room) })
	return list
}

// Kick ends the session of that user, if there is one, with protocol.CloseKicked, and
// refuses logins and requests of the user's that are under way, or begin before void has
// returned. void makes the store revoke what was issued to the user until then; it may
// be nil. Kick returns its error, and whether there was a session; that ends in any case.
func (s *Server) Kick(name, why string, void func() error) (ended bool, err error) {
	if void != nil {
		ended = s.end(name, why, time.Now().Add(keepKicks)) // until further notice
		err = void()
	}
	return s.end(name, why, time.Now()) || ended, err
}

// end ends the session of that user and what begins until then.
func (s *Server) end(name, why string, until time.Time) bool {
	session := s.hub.kick(name, until)
	if session == nil || session.conn.isClosing() {
		return false
	}
	s.record(session.event(audit.Event{Kind: audit.Kick, Actor: "admin", Why: why})) // logged, if it fails: the session ends in any case
	session.conn.shutdown(protocol.CloseKicked, why)
	return true
}
