// Package policy says who may join which room with what: rules in a file that is
// followed while the server runs.
//
// The signaling server asks it at every login and every request for a room token;
// cmd opens the file. Without one, [Default] is the policy.
//
//	file, err := policy.OpenFile("/etc/sigctl/policy.yaml")
//	go file.Watch(ctx, func(err error) { … }) // whoever starts it waits for it
//	…
//	perms := file.Current().Permissions("alice", nil, "team-red") // [join data], say; nil: not at all
//	rules := file.Current().Room("team-red")                      // relay only? how many?
//
// The file is YAML. Rules only ever add up: what no rule allows is refused, and no
// rule takes away what another allows.
//
//	groups:                           # who is in which group, by exact name
//	  staff: [alice, bob]
//	rules:
//	  - users: ["*@example.com"]      # a rule is for those whose name matches one of users
//	    groups: [staff, "/devs"]      # and for those who are in one of groups
//	    rooms: ["team-*", lobby]      # in the rooms that match one of rooms
//	    allow: [join, data, publish, subscribe]
//	  - users: ["guest-?"]
//	    rooms: [lobby]
//	    allow: [join, data]           # always join: nothing can be done outside a room
//	rooms:                            # the first entry that matches counts
//	  - room: team-red                # neither ice nor max: as if there were no entry
//	  - room: "team-*"
//	    ice: relay                    # no direct connections; or all, the default
//	    max: 10                       # members at a time; without it: no limit
//
// Users, groups and rooms of rules, and room of rooms, are patterns as path.Match
// has them: * is any number of characters but /, ? is one, [a-z] is one of a range,
// and a backslash takes away their meaning. Letter case counts.
//
// Groups come from two places. An identity provider names those of the users that
// it signs in; groups adds to them, and is the only place for users who sign in by
// password or certificate. A group that the file defines has no members but those
// that the file lists: who may name groups at the provider cannot enter it from
// there by giving one its name.
//
// Replace the file by renaming another over it: half a file could be a policy, too.
package policy

import (
	"path"
	"slices"
	"strings"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// Policy is who may join which room with what. It does not change. The zero Policy
// lets nobody do anything.
type Policy struct {
	rules    []rule
	rooms    []roomEntry
	memberOf map[string][]string // user to the groups that the file puts it in
	defined  map[string]bool     // groups that the file defines
}

// rule allows those who match to do something in the rooms that match.
type rule struct {
	users, groups, rooms []pattern
	allow                permissions
}

type roomEntry struct {
	room  pattern
	rules RoomRules
}

// RoomRules is what holds for everyone in a room.
type RoomRules struct {
	ICETransportPolicy string // "relay": no direct connections; or "": any
	MaxMembers         int    // at a time; 0: no limit
}

// Default is the policy without a file: everyone may do everything in the lobby,
// and there is no other room.
func Default() *Policy { return everythingIn(protocol.Lobby) }

// Open lets everyone do everything in every room. It is for demonstrations.
func Open() *Policy { return everythingIn("*") }

func everythingIn(rooms string) *Policy {
	return &Policy{rules: []rule{{
		users: []pattern{newPattern("*")},
		rooms: []pattern{newPattern(rooms)},
		allow: 1<<len(permissionNames) - 1,
	}}}
}

// Permissions returns what a user may do in a room: all that some matching rule
// allows, in the order join, data, publish, subscribe. Nil means that the user may
// not join. groups are those that the identity provider named, if any. The result
// is the caller's.
func (p *Policy) Permissions(user string, groups []string, room string) []string {
	if !protocol.ValidName(user) || !protocol.ValidName(room) {
		return nil
	}
	var allowed permissions
	inside := p.memberOf[user]
	for i := range p.rules {
		r := &p.rules[i]
		if r.allow&^allowed != 0 && matchAny(r.rooms, room) && (matchAny(r.users, user) || p.inGroup(r, inside, groups)) {
			allowed |= r.allow
		}
	}
	return allowed.list()
}

// inGroup reports whether a rule is for a group of the file's that the user is in,
// or for one of the provider's.
func (p *Policy) inGroup(r *rule, inside, outside []string) bool {
	if len(r.groups) == 0 {
		return false
	}
	return slices.ContainsFunc(inside, func(group string) bool { return matchAny(r.groups, group) }) ||
		slices.ContainsFunc(outside, func(group string) bool { return !p.defined[group] && matchAny(r.groups, group) })
}

// Room returns what holds for everyone in a room.
func (p *Policy) Room(name string) RoomRules {
	for i := range p.rooms {
		if p.rooms[i].room.match(name) {
			return p.rooms[i].rules
		}
	}
	return RoomRules{}
}

// permissions is a set of them.
type permissions uint8

// permissionNames are in the order in which permissions are listed.
var permissionNames = [...]string{protocol.PermJoin, protocol.PermData, protocol.PermPublish, protocol.PermSubscribe}

const permJoin permissions = 1

// list returns the names of a set; nil without join.
func (s permissions) list() []string {
	if s&permJoin == 0 {
		return nil
	}
	names := make([]string, 0, len(permissionNames))
	for i, name := range permissionNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// pattern is one of path.Match that was found to be well-formed. Most are a name or
// have one star: those are matched without it, some ten times as fast.
type pattern struct {
	text           string
	kind           patternKind
	prefix, suffix string // of a oneStar
}

type patternKind uint8

const (
	literal patternKind = iota // matches itself alone
	oneStar                    // and nothing else that has a meaning
	general
)

func newPattern(text string) pattern {
	prefix, suffix, star := strings.Cut(text, "*")
	switch {
	case strings.ContainsAny(prefix+suffix, `*?[\`):
		return pattern{text: text, kind: general}
	case star:
		return pattern{text: text, kind: oneStar, prefix: prefix, suffix: suffix}
	}
	return pattern{text: text}
}

func (p *pattern) match(name string) bool {
	switch p.kind {
	case literal:
		return p.text == name
	case oneStar:
		return len(name) >= len(p.prefix)+len(p.suffix) && strings.HasPrefix(name, p.prefix) && strings.HasSuffix(name, p.suffix) &&
			strings.IndexByte(name[len(p.prefix):len(name)-len(p.suffix)], '/') < 0
	}
	ok, _ := path.Match(p.text, name)
	return ok
}

func matchAny(patterns []pattern, name string) bool {
	for i := range patterns {
		if patterns[i].match(name) {
			return true
		}
	}
	return false
}
