package main

import (
	"bytes"
	"unicode/utf8"
)

// keyKind says which key was pressed.
type keyKind int

const (
	keyNone keyKind = iota // one without a meaning here
	keyText                // text typed or pasted
	keyEnter
	keyBackspace
	keyDelete
	keyLeft
	keyRight
	keyUp
	keyDown
	keyHome
	keyEnd
	keyPageUp
	keyPageDown
	keyCutBefore // Ctrl-U
	keyCutAfter  // Ctrl-K
	keyCutWord   // Ctrl-W
	keyInterrupt // Ctrl-C
	keyEOF       // Ctrl-D
)

// keyPress is one key, or a piece of text.
type keyPress struct {
	kind keyKind
	text string // of keyText
	more bool   // of keyText: the paste that it is of goes on
}

var controlKeys = map[byte]keyKind{
	0x01: keyHome, 0x02: keyLeft, 0x03: keyInterrupt, 0x04: keyEOF, 0x05: keyEnd, 0x06: keyRight,
	0x08: keyBackspace, 0x0a: keyEnter, 0x0b: keyCutAfter, 0x0d: keyEnter, 0x15: keyCutBefore,
	0x17: keyCutWord, 0x7f: keyBackspace,
}

// sequenceKeys are by what follows ESC [ or ESC O (ECMA-48, section 5.4; xterm).
var sequenceKeys = map[string]keyKind{
	"A": keyUp, "B": keyDown, "C": keyRight, "D": keyLeft, "H": keyHome, "F": keyEnd,
	"1~": keyHome, "7~": keyHome, "4~": keyEnd, "8~": keyEnd, "3~": keyDelete, "5~": keyPageUp, "6~": keyPageDown,
}

const (
	escape      = 0x1b
	pasteBegin  = "200~"
	maxSequence = 32          // bytes; longer ones are none
	maxPaste    = 4 * maxText // bytes; what is longer is cut into pieces
)

var pasteEnd = []byte("\x1b[201~")

// decodeKey takes one key from the start of b and returns how long it is: 0 if
// more bytes are needed to know.
func decodeKey(b []byte) (keyPress, int) {
	switch {
	case len(b) == 0:
		return keyPress{}, 0
	case b[0] == escape:
		return decodeEscape(b)
	case b[0] < ' ' || b[0] == 0x7f:
		return keyPress{kind: controlKeys[b[0]]}, 1
	}
	n := 0
	for n < len(b) && b[n] >= ' ' && b[n] != 0x7f && utf8.FullRune(b[n:]) {
		_, size := utf8.DecodeRune(b[n:])
		n += size
	}
	return keyPress{kind: keyText, text: string(b[:n])}, n
}

func decodeEscape(b []byte) (keyPress, int) {
	if len(b) < 2 {
		return keyPress{}, 0
	}
	if b[1] != '[' && b[1] != 'O' {
		return keyPress{}, 2 // Alt and a key
	}
	for i := 2; i < len(b); i++ {
		if b[i] < 0x40 || b[i] > 0x7e { // a parameter
			continue
		}
		sequence := string(b[2 : i+1])
		if sequence == pasteBegin {
			return decodePaste(b, i+1)
		}
		return keyPress{kind: sequenceKeys[sequence]}, i + 1
	}
	if len(b) > maxSequence {
		return keyPress{}, len(b)
	}
	return keyPress{}, 0
}

// decodePaste takes a bracketed paste whose text begins at start.
func decodePaste(b []byte, start int) (keyPress, int) {
	end := bytes.Index(b[start:], pasteEnd)
	switch {
	case end >= 0:
		return keyPress{kind: keyText, text: string(b[start : start+end])}, start + end + len(pasteEnd)
	case len(b) > maxPaste:
		cut := len(b) - len(pasteEnd) + 1 // its end may have begun
		return keyPress{kind: keyText, text: string(b[start:cut]), more: true}, cut
	}
	return keyPress{}, 0
}
