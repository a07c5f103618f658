// Package protocol is the vocabulary that server, peer and page share: the
// messages on the WebSocket, their limits, error codes and close codes.
//
// One JSON object per text frame, each with a "type":
//
//	client                              server
//	  │ ── WebSocket, sigctl.v1 ────────▶ │
//	  │ ◀──────────────────────── hello ─ │  once, first
//	  │ ─ login ─────────────────────────▶│
//	  │ ◀──────── login {success, ice…} ─ │  seq counts from here
//	  │ ─ offer {name: bob} ─────────────▶│ ─ offer {name: alice} ──▶ bob
//	  │ ◀─ answer {name: bob} ─────────── │ ◀─ answer {name: alice} ─ bob
//	  │ ◀─▶ candidates ◀─────────────────▶│ ◀─▶ candidates ◀────────▶ bob
//	  │ ─ leave {name: bob} ─────────────▶│ ─ leave {name: alice} ──▶ bob
//
// "name" is the other party: whom a message is for on the way in, whom it is
// from on the way out, always set by the server. A client may add an "id" of at
// most [MaxIDLen] characters; what answers it carries that id as "ref".
//
// The server reads frames with [DecodeClient] and writes them with
// [EncodeServer]; a client does the opposite with [EncodeClient] and
// [DecodeServer]:
//
//	frame, err := protocol.EncodeClient("7", protocol.Peers{})
//	...
//	event, err := protocol.DecodeServer(frame)
//	switch m := event.Message.(type) {
//	case protocol.PeerList: // m.Peers
//	case protocol.Error:    // m.Code, event.Ref
//	}
package protocol

import "time"

// Subprotocol is the WebSocket subprotocol a client may ask for. It is optional
// because the pages that speak the plain form of the protocol ask for none.
const Subprotocol = "sigctl.v1"

// Limits of what comes from outside. A frame beyond one of them is answered with
// an [Error], or closes the connection where the comment names a [CloseCode].
const (
	MaxFrame         = 64 << 10 // bytes of one frame, either way; beyond four times that: CloseTooLarge
	MaxLoginFrame    = 16 << 10 // bytes of one frame before the login; beyond: CloseTooLarge
	MaxDepth         = 16       // nesting of objects and arrays
	MaxIDLen         = 64       // bytes of "id"
	MaxNameLen       = 64       // bytes of a user's or room's name
	MaxPasswordLen   = 1024     // bytes
	MaxTokenLen      = 8 << 10  // bytes of a token or resume secret
	MaxReasonLen     = 64       // bytes of a hang-up's reason
	MaxCandidateLen  = 1024     // bytes of one candidate line, mid or fragment
	MaxCandidates    = 32       // candidates in one message
	MaxCallCandidate = 256      // candidates of one description of a call: inside it, and sent with it
	MaxPeers         = 500      // names in one PeerList; Total counts them all
	MaxFaults        = 10       // faulty frames in a minute; beyond: CloseProtocolError
)

// Times of a connection.
const (
	PingInterval = 25 * time.Second // between pings of the server
	PongTimeout  = 10 * time.Second // without a pong; then ClosePingTimeout
	LoginTimeout = 2 * time.Minute  // without a login; then CloseNotAuthenticated
	CallTimeout  = 30 * time.Second // without a connection; then leave, ReasonICETimeout
	ExpiryNotice = time.Minute      // between Expiring and CloseExpired
)

// ICERelay is the ICETransportPolicy of a room whose calls all go through a relay
// (W3C WebRTC, RTCIceTransportPolicy).
const ICERelay = "relay"

// Lobby is the room that a login without a room enters.
const Lobby = "lobby"

// Permissions of a session in its room.
const (
	PermJoin      = "join"      // be in the room
	PermData      = "data"      // open data channels
	PermPublish   = "publish"   // send media
	PermSubscribe = "subscribe" // receive media
)

// Reasons that Reject, Leave and Left carry. Others may come and are shown as
// they are.
const (
	ReasonBusy         = "busy"
	ReasonDeclined     = "declined"
	ReasonUnsupported  = "unsupported"
	ReasonHangup       = "hangup"
	ReasonICETimeout   = "ice_timeout"
	ReasonDisconnected = "disconnected"
)
