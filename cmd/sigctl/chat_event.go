package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// chatEvent is what happens in a chat, in the order in which it happens. The line
// mode prints events, --json encodes them, the full-screen chat shows them.
type chatEvent interface{ event() string }

type (
	// signedIn is the first event.
	signedIn struct {
		User   string `json:"user"`
		Room   string `json:"room"`
		Server string `json:"server"`
	}
	// calling says that a call goes out.
	calling struct {
		Peer string `json:"peer"`
	}
	// connected begins a conversation.
	connected struct {
		Peer     string `json:"peer"`
		Path     string `json:"path"`     // direct or relay
		Pair     string `json:"pair"`     // the candidate pair's types, local then remote
		Safety   string `json:"safety"`   // to be compared
		Receipts bool   `json:"receipts"` // false: the other side is a plain page
		Took     int64  `json:"tookMs"`   // to connect

		call uint64 // the engine's number of the call
	}
	// message came from the other side.
	message struct {
		From string `json:"from"`
		Text string `json:"text"`
	}
	// sent says that the n-th text is on its way.
	sent struct {
		N    int    `json:"n"`
		Text string `json:"text"`
	}
	// unsent says that a text was not sent, and will not be: the call it was for has
	// ended, or there was none.
	unsent struct {
		Peer string `json:"peer"` // of that call; "" without one
		Text string `json:"text"`
	}
	// delivered says that the other side has the texts up to the n-th.
	delivered struct {
		N int `json:"n"`
	}
	// ended ends a conversation, or a call that came to none.
	ended struct {
		Peer        string `json:"peer"`
		Reason      string `json:"reason"`
		Undelivered int    `json:"undelivered"` // texts that were to be sent and that the other side may not have
	}
	// presence says who came into the room, or left it.
	presence struct {
		Peer string `json:"peer"`
		Here bool   `json:"here"`
	}
	// present says who else is in the room.
	present struct {
		Peers []string `json:"peers"`
	}
)

func (signedIn) event() string  { return "signed_in" }
func (calling) event() string   { return "calling" }
func (connected) event() string { return "connected" }
func (message) event() string   { return "message" }
func (sent) event() string      { return "sent" }
func (unsent) event() string    { return "unsent" }
func (delivered) event() string { return "delivered" }
func (ended) event() string     { return "ended" }
func (presence) event() string  { return "presence" }
func (present) event() string   { return "peers" }

// encodeEvent returns e as a line of JSON in which nothing can steer a terminal.
func encodeEvent(e chatEvent) []byte {
	body, _ := json.Marshal(e) // strings and numbers always marshal
	line := fmt.Appendf(nil, `{"event":%q,`, e.event())
	return append(escapeUnprintable(append(line, body[1:]...)), '\n')
}

// escapeUnprintable writes the characters of a JSON text that printable replaces
// as \u escapes.
func escapeUnprintable(text []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(text) {
		switch {
		case r == utf8.RuneError || !unprintable(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}
