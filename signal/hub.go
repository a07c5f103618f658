package signal

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// hub knows every session by its user's name, of which there is one each, and
// the rooms that somebody is in.
type hub struct {
	mu       sync.Mutex
	sessions map[string]*session
	rooms    map[string]*room
	kicked   map[string]time.Time // when; those of the last keepKicks
}

func newHub() hub {
	return hub{sessions: map[string]*session{}, rooms: map[string]*room{}, kicked: map[string]time.Time{}}
}

func (h *hub) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sessions)
}

// claim gives s its name and a place in its room. A name in use is refused, unless
// the connection that has it is stale: then that one is replaced.
func (h *hub) claim(s *session, g grant, began time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.notKickedLocked(s.name, began); err != nil {
		return err
	}
	if err := h.hasPlaceLocked(s.name, g); err != nil {
		return err
	}
	if old := h.sessions[s.name]; old != nil {
		old.conn.shutdown(protocol.CloseReplaced, "signed in elsewhere")
	}
	if s.room = h.rooms[g.room]; s.room == nil {
		s.room = newRoom(g.room)
		h.rooms[g.room] = s.room
	}
	s.room.places++
	h.sessions[s.name] = s
	return nil
}

// hasPlace returns why a session of that name cannot begin in its room.
func (h *hub) hasPlace(name string, g grant) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hasPlaceLocked(name, g)
}

func (h *hub) hasPlaceLocked(name string, g grant) error {
	old, r := h.sessions[name], h.rooms[g.room]
	if old != nil && !old.conn.stale() {
		return refuse(protocol.CodeAlreadyLoggedIn, name+" is signed in elsewhere", "name in use")
	}
	if r == nil || g.rules.MaxMembers == 0 {
		return nil
	}
	places := r.places
	if old != nil && old.room == r {
		places-- // that it leaves
	}
	if places < g.rules.MaxMembers {
		return nil
	}
	full := refuse(protocol.CodeBusy, "room "+g.room+" is full", "room full")
	full.told.RetryAfter = loginRetry
	return full
}

// enter brings s into its room and welcomes it, unless it has been replaced
// meanwhile.
func (h *hub) enter(s *session, ref string, welcome protocol.LoginReply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sessions[s.name] == s {
		s.room.join(s, ref, welcome)
	}
}

// release gives back what claim gave; the name only if no other session has taken it
// over.
func (h *hub) release(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sessions[s.name] == s {
		delete(h.sessions, s.name)
	}
	if s.room.places--; s.room.places == 0 {
		delete(h.rooms, s.room.name)
	}
}

// isElsewhere reports whether that user is in another room than r.
func (h *hub) isElsewhere(name string, r *room) bool {
	s := h.find(name)
	return s != nil && s.room != r
}

// find returns the session of that name, or nil.
func (h *hub) find(name string) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[name]
}

// list returns every session at this moment.
func (h *hub) list() []*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.sessions))
}

func (h *hub) roomSizes() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	sizes := make(map[string]int, len(h.rooms))
	for name, r := range h.rooms {
		sizes[name] = r.places
	}
	return sizes
}

// keepKicks is longer than a login can be under way.
const keepKicks = 5 * time.Minute

// kick ends what begins until then under a name: it returns the session, and logins
// that are under way will be refused.
func (h *hub) kick(name string, until time.Time) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.kicked, func(_ string, at time.Time) bool { return time.Since(at) > keepKicks })
	h.kicked[name] = until
	return h.sessions[name]
}

// notKicked refuses what began before its user was kicked.
func (h *hub) notKicked(name string, began time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.notKickedLocked(name, began)
}

func (h *hub) notKickedLocked(name string, began time.Time) error {
	if at, ok := h.kicked[name]; !ok || began.After(at) {
		return nil
	}
	return refuse(protocol.CodeTokenExpired, "revoked meanwhile: sign in again", "kicked meanwhile")
}
