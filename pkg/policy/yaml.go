package policy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A walk over YAML nodes instead of decoding into structs: it tells all faults in
// the file's terms, each with its line, and expands no aliases.

// field is a key that a mapping may have, and what reads its value.
type field struct {
	key  string
	read func(value *yaml.Node, at string)
}

// mapping reads the fields of a mapping. Others are faults.
func (p *parser) mapping(n *yaml.Node, at string, fields []field) {
	p.pairs(n, at, func(key, value *yaml.Node) {
		for _, f := range fields {
			if f.key == key.Value {
				f.read(value, strings.TrimPrefix(at+"."+f.key, "."))
				return
			}
		}
		p.fault(key, at, "unknown key %q: there are %s", key.Value, keys(fields))
	})
}

// pairs calls do for every key of a mapping, once.
func (p *parser) pairs(n *yaml.Node, at string, do func(key, value *yaml.Node)) {
	if !p.is(n, at, yaml.MappingNode, "keys with values") {
		return
	}
	seen := map[string]bool{}
	for pair := range slices.Chunk(n.Content, 2) {
		key, value := pair[0], pair[1]
		switch {
		case !p.is(key, at, yaml.ScalarNode, "a word as key"):
		case seen[key.Value]:
			p.fault(key, at, "%q a second time", key.Value)
		default:
			seen[key.Value] = true
			do(key, value)
		}
	}
}

// each calls do for every item of a list.
func (p *parser) each(n *yaml.Node, at string, do func(item *yaml.Node)) {
	if !p.is(n, at, yaml.SequenceNode, "a list, as in [a, b]") {
		return
	}
	if len(n.Content) > maxRules {
		p.fault(n, at, "more than %d items", maxRules)
		return
	}
	for _, item := range n.Content {
		do(item)
	}
}

// text returns a scalar as it is written.
func (p *parser) text(n *yaml.Node, at string) (string, bool) {
	if !p.is(n, at, yaml.ScalarNode, "a word") {
		return "", false
	}
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp": // a name may look like any of them
	default:
		p.fault(n, at, "must be a word")
		return "", false
	}
	if n.Value == "" || len(n.Value) > maxPattern {
		p.fault(n, at, "must have 1 to %d characters", maxPattern)
		return "", false
	}
	return n.Value, true
}

func (p *parser) is(n *yaml.Node, at string, kind yaml.Kind, what string) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		p.fault(n, at, "anchors and aliases are not accepted")
		return false
	case n.Kind != kind:
		p.fault(n, at, "must be %s", what)
		return false
	}
	return true
}

// fault notes what is wrong with a node; at is where in the policy it is.
func (p *parser) fault(n *yaml.Node, at, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if at != "" {
		text = at + ": " + text
	}
	p.faults = append(p.faults, fault{line: n.Line, text: text})
}

func keys(fields []field) string {
	var list []string
	for _, f := range fields {
		list = append(list, f.key)
	}
	return strings.Join(list, ", ")
}
