package policy

import (
	"strings"
	"testing"
)

// rules is a policy of one rule with the lines given after it.
func rules(lines ...string) string {
	return "rules:\n- {users: [a], rooms: [b], allow: [join]}\n" + strings.Join(lines, "\n") + "\n"
}

func TestParseFaults(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "empty: nobody could join"},
		{"a comment", "# nothing\n", "empty: nobody could join"},
		{"null", "~", "line 1: must be keys with values"},
		{"a list", "- a", "line 1: must be keys with values"},
		{"no rules", "groups: {a: [b]}", "line 1: no rules"},
		{"empty rules", "rules: []", "line 1: no rules"},
		{"rules without value", "rules:\n", "line 1: rules: must be a list"},
		{"not YAML", "rules: [", "line 1: did not find"},
		{"not UTF-8", "rules: \xff", "invalid"},
		{"two documents", rules("---", "rules: []"), "more than one YAML document"},
		{"too large", strings.Repeat("#", maxText+1), "larger than 1024 KiB"},
		{"unknown key", rules("rule: []"), `line 3: unknown key "rule": there are groups, rules, rooms`},
		{"merge key", rules("<<: {}"), `line 3: unknown key "<<"`},
		{"key twice", rules("rules: []"), `line 3: "rules" a second time`},
		{"key of another kind", rules("? [a]", ": b"), "line 3: must be a word as key"},
		{"unknown key of a rule", rules("- {users: [a], room: [b], allow: [join]}"), `line 3: rules[1]: unknown key "room": there are users, groups, rooms, allow`},
		{"rule of another kind", "rules: [a]", "line 1: rules[0]: must be keys with values"},
		{"rule for nobody", "rules:\n- {rooms: [b], allow: [join]}", "line 2: rules[0]: users or groups is missing"},
		{"rule for no user", "rules:\n- {users: [], rooms: [b], allow: [join]}", "line 2: rules[0]: users or groups is missing"},
		{"rule nowhere", "rules:\n- {users: [a], allow: [join]}", "line 2: rules[0]: rooms is missing"},
		{"rule without allow", "rules:\n- {users: [a], rooms: [b]}", "line 2: rules[0]: allow must have join"},
		{"rule without join", "rules:\n- {users: [a], rooms: [b], allow: [data]}", "line 2: rules[0]: allow must have join"},
		{"unknown permission", "rules:\n- users: [a]\n  rooms: [b]\n  allow: [join, date]", `line 4: rules[0].allow: unknown permission "date": there are join, data, publish, subscribe`},
		{"permission's case", "rules:\n- {users: [a], rooms: [b], allow: [Join]}", `unknown permission "Join"`},
		{"one word for a list", "rules:\n- {users: a, rooms: [b], allow: [join]}", "line 2: rules[0].users: must be a list, as in [a, b]"},
		{"list in a list", "rules:\n- {users: [[a]], rooms: [b], allow: [join]}", "line 2: rules[0].users: must be a word"},
		{"null in a list", "rules:\n- {users: [~], rooms: [b], allow: [join]}", "line 2: rules[0].users: must be a word"},
		{"tag of its own", "rules:\n- {users: [!x a], rooms: [b], allow: [join]}", "line 2: rules[0].users: must be a word"},
		{"empty word", "rules:\n- {users: ['' ], rooms: [b], allow: [join]}", "line 2: rules[0].users: must have 1 to 256"},
		{"long pattern", "rules:\n- {users: ['" + strings.Repeat("*", 257) + "'], rooms: [b], allow: [join]}", "must have 1 to 256"},
		{"bad pattern", "rules:\n- {users: ['[a'], rooms: [b], allow: [join]}", `line 2: rules[0].users: "[a": not a pattern`},
		{"bad pattern of groups", "rules:\n- {groups: ['a\\'], rooms: [b], allow: [join]}", `line 2: rules[0].groups: "a\\": not a pattern`},
		{"no name has a space", "rules:\n- {users: ['a b'], rooms: [b], allow: [join]}", `line 2: rules[0].users: "a b": no name can match`},
		{"no room has a slash", "rules:\n- {users: [a], rooms: ['b/*'], allow: [join]}", `line 2: rules[0].rooms: "b/*": no name can match`},
		{"longer than a name", "rules:\n- {users: [" + strings.Repeat("a", 65) + "], rooms: [b], allow: [join]}", "no name can match: names have at most 64"},
		{"pattern as member", rules("groups: {staff: ['*@b']}"), `line 3: groups.staff: "*@b" is not a user's name`},
		{"group of another kind", rules("groups: {staff: alice}"), "line 3: groups.staff: must be a list"},
		{"group twice", rules("groups: {a: [b], a: [c]}"), `line 3: groups: "a" a second time`},
		{"alias", rules("rooms:", "- &x {room: a}", "- *x"), "line 4: rooms[0]: anchors and aliases are not accepted"},
		{"alias used", rules("rooms:", "- {room: a, max: &x 1}", "- {room: b, max: *x}"), "line 5: rooms[1].max: anchors and aliases"},
		{"entry for no room", rules("rooms:", "- {max: 1}"), "line 4: rooms[0]: room is missing"},
		{"bad room", rules("rooms:", "- {room: '['}"), `line 4: rooms[0].room: "[": not a pattern`},
		{"unknown ice", rules("rooms:", "- {room: a, ice: turn}"), `line 4: rooms[0].ice: "turn" must be relay or all`},
		{"max 0", rules("rooms:", "- {room: a, max: 0}"), `line 4: rooms[0].max: "0" must be a number from 1`},
		{"max of another kind", rules("rooms:", "- {room: a, max: many}"), `line 4: rooms[0].max: "many" must be a number`},
		{"huge max", rules("rooms:", "- {room: a, max: 99999999999999999999}"), "must be a number"},
		{"too many rules", "rules:\n" + strings.Repeat("- {}\n", maxRules+1), "line 2: rules: more than 10000 items"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Parse([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v, want an error that says %q", err, tt.want)
			}
			if p != nil {
				t.Error("Parse gives a policy with its error")
			}
		})
	}
}

func TestParseTellsAllFaultsAtOnce(t *testing.T) {
	_, err := Parse([]byte("rooms:\n- {room: a, ice: x, max: -1}\nrules:\n- {user: [a], rooms: ['['], allow: [jion]}\n"))
	want := []string{
		`line 2: rooms[0].ice: "x" must be relay or all`,
		`line 2: rooms[0].max: "-1" must be a number from 1; without it there is no limit`,
		`line 4: rules[0]: unknown key "user": there are users, groups, rooms, allow`,
		`line 4: rules[0].rooms: "[": not a pattern: a [ without its ], or nothing between them, or a backslash at the end`,
		`line 4: rules[0].allow: unknown permission "jion": there are join, data, publish, subscribe`,
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("Parse:\n%v\nwant:\n%s", err, strings.Join(want, "\n"))
	}
	_, err = Parse([]byte("rules:\n" + strings.Repeat("- 1\n", maxFaults+5)))
	if lines := strings.Split(err.Error(), "\n"); len(lines) != maxFaults+1 || lines[maxFaults] != "and 5 more" {
		t.Errorf("%d lines of faults, the last %q; want %d and the number of the rest", len(lines), lines[len(lines)-1], maxFaults+1)
	}
}

// Names that YAML would take for something else are words here.
func TestParseTakesWordsAsWritten(t *testing.T) {
	p := parse(t, "rules:\n- {users: [007, 1e3, yes, true, 2026-11-21, 0x1F], rooms: [1.50], allow: [join]}\n")
	for _, user := range []string{"007", "1e3", "yes", "true", "2026-11-21", "0x1F"} {
		if p.Permissions(user, nil, "1.50") == nil {
			t.Errorf("%s may not join", user)
		}
	}
	if p.Permissions("7", nil, "1.50") != nil || p.Permissions("007", nil, "1.5") != nil {
		t.Error("a name was taken for a number")
	}
}

// FuzzParse: what parses must be of use, and must not allow what it does not say.
func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(rules("rooms:", "- &x {room: a}", "- *x")))
	f.Add([]byte("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]"))
	f.Add([]byte("rules: !!seq\n- !!map {users: [!!str a], rooms: [\"\\x61\"], allow: [join]}"))
	f.Add([]byte("{rules: [{users: ['*'], rooms: ['?[a-z]\\*'], allow: [join, data]}]}"))
	f.Add([]byte("%YAML 1.1\n---\nrules: |\n a\n...\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		for _, user := range []string{"a", "alice", "guest-1"} {
			got := p.Permissions(user, []string{"/devs", "staff"}, "lobby")
			if len(got) > 0 && got[0] != "join" {
				t.Errorf("%q allows %v without join", text, got)
			}
			if got != nil && !strings.Contains(string(text), "join") && !strings.ContainsAny(string(text), `"`) { // "\x6aoin"
				t.Errorf("%q allows to join, and does not say so", text)
			}
		}
		if r := p.Room("lobby"); r.MaxMembers < 0 || r.ICETransportPolicy != "" && r.ICETransportPolicy != "relay" {
			t.Errorf("%q has %+v", text, r)
		}
	})
}
