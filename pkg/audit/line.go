package audit

import (
	"bytes"
	"encoding/json"
	"unicode"
	"unicode/utf8"
)

const (
	timeFormat = "2006-01-02T15:04:05.000Z"
	maxText    = 256 // bytes of a text in an event
)

// encode returns the line of e, with its newline.
func encode(e Event) ([]byte, error) {
	if e.Outcome == "" {
		e.Outcome = OutcomeOK
		if e.Code != "" {
			e.Outcome = OutcomeRefused
		}
	}
	e.Kind, e.Outcome, e.Code = bounded(e.Kind), bounded(e.Outcome), bounded(e.Code)
	for _, text := range []*string{&e.Why, &e.User, &e.Source, &e.Room, &e.Session, &e.Peer, &e.Message, &e.Token, &e.Actor} {
		*text = bounded(*text)
	}
	e.Address = e.Address.Unmap().WithZone("")
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		Time string `json:"time"` // takes the place of the event's
		Event
	}{e.Time.UTC().Format(timeFormat), e})
	return line.Bytes(), err
}

// bounded returns s as it may be written: short, and without what encoding/json leaves as it is although terminals act
// upon it (C1 controls, writing direction) or readers would not see it.
func bounded[S ~string](s S) S {
	if len(s) <= maxText && isPlain(string(s)) {
		return s
	}
	var text []byte
	fits := 0 // with an ellipsis
	for _, r := range string(s) {
		if text = utf8.AppendRune(text, visible(r)); len(text) > maxText {
			return S(text[:fits]) + "…"
		}
		if len(text) <= maxText-len("…") {
			fits = len(text)
		}
	}
	return S(text)
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func visible(r rune) rune {
	if r < ' ' || unicode.IsPrint(r) { // encoding/json escapes the controls below the space
		return r
	}
	return utf8.RuneError
}
