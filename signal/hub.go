package signal

import (
	"sync"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// hub knows every session by its user's name, of which there is one each, and
// the rooms.
type hub struct {
	mu       sync.Mutex
	sessions map[string]*session
	lobby    *room
}

func newHub() hub {
	return hub{sessions: map[string]*session{}, lobby: newRoom(protocol.Lobby)}
}

func (h *hub) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sessions)
}

// room returns the room of that name, or nil.
func (h *hub) room(name string) *room {
	if name == "" || name == protocol.Lobby {
		return h.lobby
	}
	return nil
}

// claim gives s its name. A name in use is refused, unless the connection that
// has it is stale: then that one is replaced.
func (h *hub) claim(s *session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.sessions[s.name]
	if old != nil && !old.conn.stale() {
		return false
	}
	h.sessions[s.name] = s
	if old != nil {
		old.conn.shutdown(protocol.CloseReplaced, "signed in elsewhere")
	}
	return true
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

// release gives the name back, unless another session has taken it over.
func (h *hub) release(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sessions[s.name] == s {
		delete(h.sessions, s.name)
	}
}
