package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// Bounds of a policy.
const (
	maxText    = 1 << 20 // bytes
	maxRules   = 10000   // rules, and as many entries of rooms
	maxPattern = 256     // bytes of a pattern or a group's name
	maxFaults  = 50      // faults that are told
)

// Parse reads a policy. Its form is in the package's documentation. The error
// tells all that is wrong, each with its line; nothing that is not understood is
// passed over.
func Parse(text []byte) (*Policy, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("larger than %d KiB", maxText>>10)
	}
	root, err := parseYAML(text)
	if err != nil {
		return nil, err
	}
	p := parser{policy: &Policy{memberOf: map[string][]string{}, defined: map[string]bool{}}}
	p.mapping(root, "", []field{
		{"groups", p.groups},
		{"rules", p.rules},
		{"rooms", p.rooms},
	})
	if len(p.faults) == 0 && len(p.policy.rules) == 0 {
		p.fault(root, "", "no rules: nobody could join any room")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return p.policy, nil
}

// parseYAML returns the one document's content.
func parseYAML(text []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, errors.New("empty: nobody could join any room")
	}
	if err == nil {
		err = decoder.Decode(&second)
	}
	switch {
	case errors.Is(err, io.EOF):
		return document.Content[0], nil
	case err != nil:
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return nil, errors.New("more than one YAML document: what comes after --- would not count")
}

// parser makes a policy of YAML nodes, and notes every fault.
type parser struct {
	policy *Policy
	faults []fault
}

type fault struct {
	line int
	text string
}

func (p *parser) groups(n *yaml.Node, at string) {
	p.pairs(n, at, func(key, value *yaml.Node) {
		group, ok := p.text(key, at)
		if !ok {
			return
		}
		p.policy.defined[group] = true
		at := at + "." + group
		p.each(value, at, func(item *yaml.Node) {
			user, ok := p.text(item, at)
			switch {
			case !ok:
			case !protocol.ValidName(user):
				p.fault(item, at, "%q is not a user's name; patterns go into users of a rule", user)
			default:
				p.policy.memberOf[user] = append(p.policy.memberOf[user], group)
			}
		})
	})
}

func (p *parser) rules(n *yaml.Node, at string) {
	p.each(n, at, func(item *yaml.Node) {
		at := fmt.Sprintf("%s[%d]", at, len(p.policy.rules))
		var r rule
		faults := len(p.faults)
		p.mapping(item, at, []field{
			{"users", func(n *yaml.Node, at string) { r.users = p.patterns(n, at, isNamePattern) }},
			{"groups", func(n *yaml.Node, at string) { r.groups = p.patterns(n, at, isAnyPattern) }},
			{"rooms", func(n *yaml.Node, at string) { r.rooms = p.patterns(n, at, isNamePattern) }},
			{"allow", func(n *yaml.Node, at string) { r.allow = p.permissions(n, at) }},
		})
		if len(p.faults) == faults { // or what seems missing may be what was misspelt
			p.complete(item, at, r)
		}
		p.policy.rules = append(p.policy.rules, r)
	})
}

// complete checks that a rule can allow something to someone.
func (p *parser) complete(n *yaml.Node, at string, r rule) {
	if len(r.users)+len(r.groups) == 0 {
		p.fault(n, at, "users or groups is missing: the rule is for nobody")
	}
	if len(r.rooms) == 0 {
		p.fault(n, at, "rooms is missing: the rule holds nowhere")
	}
	if r.allow&permJoin == 0 {
		p.fault(n, at, "allow must have join: nothing can be done outside the room")
	}
}

func (p *parser) permissions(n *yaml.Node, at string) (allow permissions) {
	p.each(n, at, func(item *yaml.Node) {
		name, ok := p.text(item, at)
		if !ok {
			return
		}
		i := slices.Index(permissionNames[:], name)
		if i < 0 {
			p.fault(item, at, "unknown permission %q: there are %s", name, strings.Join(permissionNames[:], ", "))
			return
		}
		allow |= 1 << i
	})
	return allow
}

func (p *parser) rooms(n *yaml.Node, at string) {
	p.each(n, at, func(item *yaml.Node) {
		at := fmt.Sprintf("%s[%d]", at, len(p.policy.rooms))
		var e roomEntry
		faults := len(p.faults)
		p.mapping(item, at, []field{
			{"room", func(n *yaml.Node, at string) { e.room, _ = p.pattern(n, at, isNamePattern) }},
			{"ice", func(n *yaml.Node, at string) { e.rules.ICETransportPolicy = p.transportPolicy(n, at) }},
			{"max", func(n *yaml.Node, at string) { e.rules.MaxMembers = p.members(n, at) }},
		})
		if len(p.faults) == faults && e.room.text == "" {
			p.fault(item, at, "room is missing: the entry is for no room")
		}
		p.policy.rooms = append(p.policy.rooms, e)
	})
}

func (p *parser) transportPolicy(n *yaml.Node, at string) string {
	switch text, ok := p.text(n, at); {
	case !ok || text == "all":
	case text == "relay":
		return text
	default:
		p.fault(n, at, "%q must be relay or all", text)
	}
	return ""
}

func (p *parser) members(n *yaml.Node, at string) int {
	text, ok := p.text(n, at)
	number, err := strconv.Atoi(text)
	if ok && (err != nil || number < 1) {
		p.fault(n, at, "%q must be a number from 1; without it there is no limit", text)
	}
	return number
}

func (p *parser) patterns(n *yaml.Node, at string, check func(string) error) (list []pattern) {
	p.each(n, at, func(item *yaml.Node) {
		if pat, ok := p.pattern(item, at, check); ok {
			list = append(list, pat)
		}
	})
	return list
}

func (p *parser) pattern(n *yaml.Node, at string, check func(string) error) (pattern, bool) {
	text, ok := p.text(n, at)
	if !ok {
		return pattern{}, false
	}
	if err := check(text); err != nil {
		p.fault(n, at, "%q: %v", text, err)
		return pattern{}, false
	}
	return newPattern(text), true
}

// isNamePattern checks a pattern of users' or rooms' names.
func isNamePattern(text string) error {
	const nameBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+-"
	if i := strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune(nameBytes+`*?[]^\`, r) }); i >= 0 {
		return errors.New("no name can match: names have letters, digits and . _ @ + - only")
	}
	if newPattern(text).kind == literal && len(text) > protocol.MaxNameLen {
		return fmt.Errorf("no name can match: names have at most %d characters", protocol.MaxNameLen)
	}
	return isAnyPattern(text)
}

func isAnyPattern(text string) error {
	if _, err := path.Match(text, ""); err != nil {
		return errors.New("not a pattern: a [ without its ], or nothing between them, or a backslash at the end")
	}
	return nil
}

// err returns all faults in the order of their lines.
func (p *parser) err() error {
	slices.SortStableFunc(p.faults, func(a, b fault) int { return a.line - b.line })
	var list []error
	for i, f := range p.faults {
		if i == maxFaults {
			list = append(list, fmt.Errorf("and %d more", len(p.faults)-i))
			break
		}
		list = append(list, fmt.Errorf("line %d: %s", f.line, f.text))
	}
	return errors.Join(list...)
}
