package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sigctl/sigctl/pkg/follow"
)

// peerLists say which peers a relay may reach, beside its defaults.
type peerLists struct{ allow, deny []netip.Prefix }

// peersFile is the file of --peers:
//
//	allow: [10.1.0.0/16]
//	deny:
//	  - 10.1.9.0/24
//	  - 2001:db8::7
var peersFile = &follow.Kind[peerLists]{Name: "list of peers", MaxBytes: 256 << 10, Parse: parsePeers}

// parsePeers returns every fault, with its line. An empty file is one: it may be a
// list of what is denied that is being written.
func parsePeers(text []byte) (lists peerLists, err error) {
	root, err := oneDocument(text)
	if err != nil {
		return lists, err
	}
	if root.Kind != yaml.MappingNode {
		return lists, fmt.Errorf("line %d: must be allow and deny, each with a list", root.Line)
	}
	var faults []error
	seen := map[string]bool{}
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		list, err := prefixList(key, value)
		switch {
		case seen[key.Value]:
			err = fmt.Errorf("line %d: %s a second time", key.Line, key.Value)
		case key.Value == "allow":
			lists.allow = list
		case key.Value == "deny":
			lists.deny = list
		default:
			err = fmt.Errorf("line %d: unknown key %q: there are allow and deny", key.Line, key.Value)
		}
		seen[key.Value] = true
		faults = append(faults, err)
	}
	return lists, errors.Join(faults...)
}

// oneDocument returns the content of the only YAML document in text.
func oneDocument(text []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("empty: to have no lists, write allow: []")
	case err != nil:
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document: what comes after --- would not count")
	}
	return document.Content[0], nil
}

func prefixList(key, value *yaml.Node) (list []netip.Prefix, err error) {
	if value.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("line %d: %s must be a list, as in [10.0.0.0/8]", value.Line, key.Value)
	}
	for _, item := range value.Content {
		prefix, parseErr := parsePrefix(item.Value)
		if parseErr != nil {
			err = errors.Join(err, fmt.Errorf("line %d: %s: %w", item.Line, key.Value, parseErr))
			continue
		}
		list = append(list, prefix)
	}
	return list, err
}
