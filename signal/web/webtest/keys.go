//go:build integration

package webtest

import (
	"fmt"
	"strings"
	"unicode"
)

// key is a key of a keyboard, as the two protocols name it.
type key struct {
	name  string // KeyboardEvent.key
	code  string // KeyboardEvent.code
	vk    int    // KeyboardEvent.keyCode
	text  string // what it enters
	value string // WebDriver's name, if it is not the text
	bit   int    // of a modifier, in DevTools' modifiers
}

// stroke is a key that goes down or up, with the modifiers that are down then.
type stroke struct {
	key
	down      bool
	modifiers int
}

const ctrlBit, shiftBit = 2, 8

// namedKeys are the keys that are not called by what they enter.
func namedKeys() map[string]key {
	return map[string]key{
		"Enter":      {name: "Enter", code: "Enter", vk: 13, text: "\r", value: "\uE006"},
		"Tab":        {name: "Tab", code: "Tab", vk: 9, value: "\uE004"},
		"Escape":     {name: "Escape", code: "Escape", vk: 27, value: "\uE00C"},
		"Backspace":  {name: "Backspace", code: "Backspace", vk: 8, value: "\uE003"},
		"Delete":     {name: "Delete", code: "Delete", vk: 46, value: "\uE017"},
		"End":        {name: "End", code: "End", vk: 35, value: "\uE010"},
		"Home":       {name: "Home", code: "Home", vk: 36, value: "\uE011"},
		"PageUp":     {name: "PageUp", code: "PageUp", vk: 33, value: "\uE00E"},
		"ArrowLeft":  {name: "ArrowLeft", code: "ArrowLeft", vk: 37, value: "\uE012"},
		"ArrowUp":    {name: "ArrowUp", code: "ArrowUp", vk: 38, value: "\uE013"},
		"ArrowRight": {name: "ArrowRight", code: "ArrowRight", vk: 39, value: "\uE014"},
		"ArrowDown":  {name: "ArrowDown", code: "ArrowDown", vk: 40, value: "\uE015"},
		"Shift":      {name: "Shift", code: "ShiftLeft", vk: 16, value: "\uE008", bit: shiftBit},
		"Control":    {name: "Control", code: "ControlLeft", vk: 17, value: "\uE009", bit: ctrlBit},
		"Space":      {name: " ", code: "Space", vk: 32, text: " "},
	}
}

// keyOf returns the key that enters r.
func keyOf(r rune) key {
	k := key{name: string(r), text: string(r)}
	switch upper := unicode.ToUpper(r); {
	case r == ' ':
		return namedKeys()["Space"]
	case upper >= 'A' && upper <= 'Z':
		k.code, k.vk = "Key"+string(upper), int(upper)
	case r >= '0' && r <= '9':
		k.code, k.vk = "Digit"+string(r), int(r)
	}
	return k
}

// typing returns the strokes that enter a text; for capitals Shift is held. A line
// break is the Enter key.
func typing(text string) (strokes []stroke) {
	for _, r := range text {
		switch {
		case r == '\r' || r == '\n':
			strokes = append(strokes, chord("Enter")...)
		case unicode.IsUpper(r):
			strokes = append(strokes, chord("Shift+"+string(r))...)
		default:
			strokes = append(strokes, chord(string(r))...)
		}
	}
	return strokes
}

// chord returns the strokes of a key, with modifiers before it: "Tab", "Shift+Enter",
// "Control+a".
func chord(name string) []stroke {
	modifier, rest, ok := strings.Cut(name, "+")
	if ok && rest != "" {
		return held(namedKeys()[modifier], chord(rest))
	}
	k, named := namedKeys()[name]
	if !named {
		runes := []rune(name)
		if len(runes) != 1 {
			panic(fmt.Sprintf("%q is not a key", name))
		}
		k = keyOf(runes[0])
	}
	return []stroke{{key: k, down: true}, {key: k}}
}

// held returns strokes that are made while a modifier is held.
func held(modifier key, strokes []stroke) []stroke {
	for i := range strokes {
		strokes[i].modifiers |= modifier.bit
		if modifier.bit == ctrlBit {
			strokes[i].text = ""
		}
	}
	return append(append([]stroke{{key: modifier, down: true, modifiers: modifier.bit}}, strokes...), stroke{key: modifier})
}
