package signal

import (
	"context"
	"slices"
	"strings"

	"github.com/sigctl/sigctl/pkg/policy"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// grant is what somebody may do in a room.
type grant struct {
	room        string
	permissions []string
	rules       policy.RoomRules // what holds for all in the room
}

// admit returns what somebody may do in a room, under a name that is theirs.
func (s *Server) admit(ctx context.Context, id identity, room string, wanted []string) (grant, error) {
	g, err := s.grant(id, room, wanted)
	if err == nil {
		err = s.claim(ctx, id)
	}
	return g, err
}

// grant decides by the room token, which is bound to its room, or else by the
// policy. The permissions wanted bound those of the policy; none wants all.
func (s *Server) grant(id identity, room string, wanted []string) (grant, error) {
	p := s.cfg.Policy()
	if id.claims != nil {
		if room != "" && room != id.claims.Room {
			return grant{}, refuse(protocol.CodeForbidden, "the token is for another room", "token of room "+id.claims.Room)
		}
		return grant{id.claims.Room, id.claims.Permissions, p.Room(id.claims.Room)}, nil
	}
	if room == "" {
		room = protocol.Lobby
	}
	granted := p.Permissions(id.user, id.groups, room)
	if granted == nil {
		return grant{}, refuse(protocol.CodeForbidden, "you may not join room "+room, "no rule allows it")
	}
	if len(wanted) > 0 {
		for _, w := range wanted {
			if !slices.Contains(granted, w) {
				return grant{}, refuse(protocol.CodeForbidden, "you do not have the permission "+printable(w)+" in room "+room,
					"not granted: "+printable(w))
			}
		}
		granted = withJoin(wanted, granted)
	}
	return grant{room, granted, p.Room(room)}, nil
}

// withJoin returns those of granted that are wanted, and join, without which there
// is nothing to do.
func withJoin(wanted, granted []string) (perms []string) {
	for _, p := range granted {
		if p == protocol.PermJoin || slices.Contains(wanted, p) {
			perms = append(perms, p)
		}
	}
	return perms
}

// printable is a client's word as it is said back, and written down.
func printable(s string) string {
	const shown = 32 // runes
	s = strings.ToValidUTF8(s, "?")
	if r := []rune(s); len(r) > shown {
		s = string(r[:shown]) + "…"
	}
	return s
}
