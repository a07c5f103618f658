package peer

import (
	"encoding/json"
	"fmt"
)

// controlMessage is one message on the control channel: hello, received,
// connected or hangup.
type controlMessage interface{ controlType() string }

// hello is each side's first message: how many of the other's texts it has taken
// since the call began, and which version of this protocol it speaks.
type hello struct {
	Received uint64 `json:"received"`
	Version  int    `json:"version"`
}

// received acknowledges the other's texts up to the N-th.
type received struct {
	N uint64 `json:"n"`
}

// connected says that the callee took the call.
type connected struct{}

// hangup ends the call.
type hangup struct {
	Reason string `json:"reason,omitempty"`
}

func (hello) controlType() string     { return "hello" }
func (received) controlType() string  { return "received" }
func (connected) controlType() string { return "connected" }
func (hangup) controlType() string    { return "hangup" }

const (
	controlVersion = 1
	maxControl     = 4 << 10 // bytes of one control message
)

func encodeControl(m controlMessage) []byte {
	body, _ := json.Marshal(m) // numbers and strings always marshal
	text := fmt.Appendf(nil, `{"type":%q`, m.controlType())
	if len(body) > len("{}") {
		text = append(text, ',')
	}
	return append(text, body[1:]...)
}

// decodeControl returns nil without an error for a type that this version does
// not know.
func decodeControl(text []byte) (controlMessage, error) {
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("%w: control message is not JSON", ErrProtocol)
	}
	switch head.Type {
	case "hello":
		return controlBody[hello](text)
	case "received":
		return controlBody[received](text)
	case "connected":
		return connected{}, nil
	case "hangup":
		return controlBody[hangup](text)
	}
	return nil, nil
}

func controlBody[T controlMessage](text []byte) (controlMessage, error) {
	var m T
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%w: control message %s", ErrProtocol, m.controlType())
	}
	return m, nil
}
