package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrNotUTF8 is returned for a frame that is not valid UTF-8. It ends the
// connection with [CloseNotUTF8] (RFC 6455, section 8.1): neither the WebSocket
// library nor encoding/json refuses such text.
var ErrNotUTF8 = errors.New("frame is not valid UTF-8")

// Request is a decoded client frame.
type Request struct {
	ID      string // to be sent back as ref; may be empty
	From    string // whom the client names as sender, if it names one: only itself is right
	Message FromClient
}

// Event is a decoded server frame.
type Event struct {
	Ref     string // id of the request that this answers, if any
	Seq     uint64 // number of the message in its session; 0 before the login
	Message FromServer
}

// DecodeClient reads what a client sent. The error is [ErrNotUTF8] or an [Error]
// to send back; the request then still carries the id, where it was readable.
func DecodeClient(frame []byte) (Request, error) {
	look, err := lookAt(frame)
	if err != nil {
		return Request{ID: look.id}, err
	}
	h := clientHeader{Type: &look.kind, ID: look.id, From: look.from}
	if !look.plain {
		h = clientHeader{}
		if err := json.Unmarshal(frame, &h); err != nil {
			return Request{}, badMessage(jsonFault(err))
		}
	}
	if len(h.ID) > MaxIDLen {
		return Request{}, badMessage(tooLong("id", MaxIDLen))
	}
	req := Request{ID: h.ID, From: h.From}
	if h.Type == nil {
		return req, badMessage(errors.New("type is missing"))
	}
	req.Message, err = decodeFromClient(*h.Type, frame)
	return req, err
}

type clientHeader struct {
	Type *string `json:"type"`
	ID   string  `json:"id"`
	From string  `json:"from"`
}

func decodeFromClient(kind string, frame []byte) (FromClient, error) {
	switch kind {
	case "login":
		return clientBody[Login](frame)
	case "offer":
		return clientBody[Offer](frame)
	case "answer":
		return clientBody[Answer](frame)
	case "candidate":
		return clientBody[Candidate](frame)
	case "candidates":
		return clientBody[Candidates](frame)
	case "ringing":
		return clientBody[Ringing](frame)
	case "accept":
		return clientBody[Accept](frame)
	case "reject":
		return clientBody[Reject](frame)
	case "renegotiate":
		return clientBody[Renegotiate](frame)
	case "leave":
		return clientBody[Leave](frame)
	case "peers":
		return clientBody[Peers](frame)
	case "ice":
		return clientBody[ICE](frame)
	case "refresh":
		return clientBody[Refresh](frame)
	}
	return nil, UnknownType(kind)
}

// DecodeServer reads what the server sent. A type that this version does not know
// gives an [Error] with [CodeUnknownType], which a client skips.
func DecodeServer(frame []byte) (Event, error) {
	var h struct {
		Type *string `json:"type"`
		Ref  string  `json:"ref"`
		Seq  uint64  `json:"seq"`
	}
	if _, err := lookAt(frame); err != nil {
		return Event{}, err
	}
	if err := json.Unmarshal(frame, &h); err != nil {
		return Event{}, badMessage(jsonFault(err))
	}
	ev := Event{Ref: h.Ref, Seq: h.Seq}
	if h.Type == nil {
		return ev, badMessage(errors.New("type is missing"))
	}
	var err error
	ev.Message, err = decodeFromServer(*h.Type, frame)
	return ev, err
}

func decodeFromServer(kind string, frame []byte) (FromServer, error) {
	switch kind {
	case "hello":
		return body[Hello](frame)
	case "login":
		return body[LoginReply](frame)
	case "joined":
		return body[Joined](frame)
	case "left":
		return body[Left](frame)
	case "peers":
		return body[PeerList](frame)
	case "ice":
		return body[ICEServers](frame)
	case "expiring":
		return body[Expiring](frame)
	case "goaway":
		return body[GoAway](frame)
	case "error":
		return body[Error](frame)
	}
	m, err := decodeFromClient(kind, frame)
	if f, ok := m.(Forwarded); ok {
		return f, err
	}
	if err == nil {
		err = UnknownType(kind)
	}
	return nil, err
}

// UnknownType is the answer to a message of a type that the receiver does not know.
func UnknownType(kind string) Error {
	const shown = 32 // runes of the type that are said back
	if r := []rune(kind); len(r) > shown {
		kind = string(r[:shown]) + "…"
	}
	return Error{Code: CodeUnknownType, Message: "Command not found: " + kind}
}

// lookAt checks the frame as a whole, before anything is made of it. Of one that is too large it
// returns the id, if that is near the front.
func lookAt(frame []byte) (scanned, error) {
	switch {
	case len(frame) > MaxFrame:
		fault := Error{Code: CodeTooLarge, Message: fmt.Sprintf("message is larger than %d bytes", MaxFrame)}
		return scanned{id: idNearFront(frame)}, fault
	case !utf8.Valid(frame):
		return scanned{}, ErrNotUTF8
	}
	look := scan(frame)
	if look.tooDeep { // encoding/json's own limit is 10 000, and costs memory
		return scanned{}, badMessage(fmt.Errorf("message is nested deeper than %d", MaxDepth))
	}
	return look, nil
}

// idNearFront returns the id of a message whose end is missing, or "".
func idNearFront(frame []byte) string {
	const front = 1 << 10
	look := scan(frame[:min(len(frame), front)])
	if !look.plain || len(look.id) > MaxIDLen || !utf8.ValidString(look.id) {
		return ""
	}
	return look.id
}

func body[T any](frame []byte) (T, error) {
	var m T
	if err := json.Unmarshal(frame, &m); err != nil {
		return m, badMessage(jsonFault(err))
	}
	return m, nil
}

func clientBody[T FromClient](frame []byte) (FromClient, error) {
	m, err := body[T](frame)
	if err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, badMessage(err)
	}
	return m, nil
}

func badMessage(err error) Error {
	return Error{Code: CodeBadMessage, Message: err.Error()}
}

// jsonFault says what was wrong in terms of the message, not of Go's types.
func jsonFault(err error) error {
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		if mismatch.Field == "" {
			return fmt.Errorf("message must be a JSON object, not %s", mismatch.Value)
		}
		kind, _, isNumber := strings.Cut(mismatch.Value, " ") // "number 1e99": as long as the client likes
		if isNumber {
			return fmt.Errorf("%s is out of range", mismatch.Field)
		}
		return fmt.Errorf("%s must not be a %s", mismatch.Field, kind)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("message is not JSON: %w", syntax)
	}
	return err
}
