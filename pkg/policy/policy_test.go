package policy

import (
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
)

const example = `
groups:
  staff: [alice, bob]
rules:
  - users: ["*@example.com"]
    groups: [staff, "/devs"]
    rooms: ["team-*", lobby]
    allow: [join, data, publish, subscribe]
  - users: ["guest-?"]
    rooms: [lobby]
    allow: [join, data]
  - users: ["guest-1", carol]
    rooms: [lobby, stage]
    allow: [subscribe, join]
rooms:
  - room: team-red
  - room: "team-*"
    ice: relay
    max: 10
  - room: "*"
    ice: all
    max: 500
`

func parse(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPermissions(t *testing.T) {
	const all = "join data publish subscribe"
	p := parse(t, example)
	for _, tt := range []struct {
		user, groups, room, want string
	}{
		{"dave@example.com", "", "team-red", all},
		{"dave@example.com", "", "lobby", all},
		{"dave@example.com", "", "stage", ""},
		{"dave@example.org", "", "team-red", ""},
		{"Dave@Example.com", "", "team-red", ""},
		{"dave@example.com.evil", "", "team-red", ""},
		{"alice", "", "team-red", all},
		{"bob", "", "team-red", all},
		{"Alice", "", "team-red", ""},
		{"alice", "", "Team-red", ""},
		{"mallory", "/devs", "team-red", all},
		{"mallory", "x y /devs", "team-red", all},
		{"mallory", "/Devs", "team-red", ""},
		{"mallory", "staff", "team-red", ""}, // the provider's staff is not the file's
		{"alice", "staff", "team-red", all},
		{"guest-1", "", "lobby", "join data subscribe"}, // two rules add up
		{"guest-1", "", "stage", "join subscribe"},
		{"guest-2", "", "lobby", "join data"},
		{"guest-22", "", "lobby", ""},
		{"carol", "", "stage", "join subscribe"},
		{"*@example.com", "", "team-red", ""}, // not a name
		{"", "/devs", "team-red", ""},
		{"alice", "", "", ""},
		{"alice", "", "team-a/b", ""},
	} {
		t.Run(tt.user+" in "+tt.room, func(t *testing.T) {
			got := p.Permissions(tt.user, strings.Fields(tt.groups), tt.room)
			if strings.Join(got, " ") != tt.want || tt.want == "" && got != nil {
				t.Errorf("Permissions with groups [%s] = %q, want %q", tt.groups, got, tt.want)
			}
		})
	}
}

func TestPermissionsAreTheCallers(t *testing.T) {
	p := parse(t, example)
	p.Permissions("guest-2", nil, "lobby")[1] = "publish"
	if got := p.Permissions("guest-2", nil, "lobby"); strings.Join(got, " ") != "join data" {
		t.Errorf("Permissions = %q after a caller wrote to its result", got)
	}
}

func TestRoom(t *testing.T) {
	p := parse(t, example)
	for room, want := range map[string]RoomRules{
		"team-red":  {},
		"team-blue": {ICETransportPolicy: "relay", MaxMembers: 10},
		"lobby":     {MaxMembers: 500},
	} {
		if got := p.Room(room); got != want {
			t.Errorf("Room(%q) = %+v, want %+v", room, got, want)
		}
	}
}

// Patterns that are matched without path.Match must match what it matches.
func TestPatternsMatchAsPathMatch(t *testing.T) {
	patterns := []string{"a", "*", "a*", "*a", "a*a", "ab*ba", "**", "a**a", "a*b*", "?", "a?", "[ab]*", `\*`, `a\b`, "a/*", "*/a", "/*/"}
	names := []string{"a", "aa", "aba", "ab", "abba", "abcba", "b", "*", "a*", "a/", "/a", "a/a", "a/b/a", "//", "/x/", ""}
	for _, text := range patterns {
		for _, name := range names {
			p := newPattern(text)
			want, err := path.Match(text, name)
			if got := p.match(name); err != nil || got != want {
				t.Errorf("pattern %q matches %q: %v, want %v, %v", text, name, got, want, err)
			}
		}
	}
}

func TestPoliciesWithoutAFile(t *testing.T) {
	for _, tt := range []struct {
		name       string
		policy     *Policy
		room, want string
	}{
		{"default", Default(), "lobby", "join data publish subscribe"},
		{"default", Default(), "other", ""},
		{"open", Open(), "lobby", "join data publish subscribe"},
		{"open", Open(), "other", "join data publish subscribe"},
		{"zero", &Policy{}, "lobby", ""},
	} {
		if got := strings.Join(tt.policy.Permissions("alice", nil, tt.room), " "); got != tt.want {
			t.Errorf("%s policy: Permissions in %s = [%s], want [%s]", tt.name, tt.room, got, tt.want)
		}
		if got := tt.policy.Room(tt.room); got != (RoomRules{}) {
			t.Errorf("%s policy: Room = %+v, want no rules", tt.name, got)
		}
	}
}

// The example of the package's documentation must be a policy.
func TestDocumentedExample(t *testing.T) {
	source, err := os.ReadFile("policy.go")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(source), "//\tgroups:")
	text, _, _ = strings.Cut("//\tgroups:"+text, "\n//\n")
	p := parse(t, strings.ReplaceAll(text, "//\t", ""))
	if got := p.Permissions("guest-1", nil, "lobby"); len(got) != 2 {
		t.Errorf("guest-1 may %v in the lobby, want join and data", got)
	}
	if got := p.Room("team-blue"); got != (RoomRules{"relay", 10}) {
		t.Errorf("Room = %+v, want relay and 10", got)
	}
}

func BenchmarkPermissions(b *testing.B) {
	var text strings.Builder
	text.WriteString("rules:\n")
	for i := range 500 {
		fmt.Fprintf(&text, "- {users: [\"*@team%d.example.com\", user%d], groups: [group%d], rooms: [\"team%d-*\", lobby], allow: [join, data]}\n", i, i, i, i)
	}
	p := parse(b, text.String())
	for _, bb := range []struct{ name, user, room string }{
		{"lobby", "user499", "lobby"},
		{"room", "alice@team499.example.com", "team499-red"},
		{"refused", "mallory@example.org", "lobby"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			groups := []string{"devs", "ops"}
			for b.Loop() {
				p.Permissions(bb.user, groups, bb.room)
			}
		})
	}
}
