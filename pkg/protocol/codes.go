package protocol

// Code says to a program what went wrong; the text beside it is for people and
// may change.
type Code string

// The stable error codes.
const (
	CodeBadMessage      Code = "bad_message"
	CodeTooLarge        Code = "too_large"
	CodeUnknownType     Code = "unknown_type"
	CodeUnauthenticated Code = "unauthenticated"
	CodeBadCredentials  Code = "bad_credentials"
	CodeAlreadyLoggedIn Code = "already_logged_in"
	CodeTokenExpired    Code = "token_expired"
	CodeTokenReplayed   Code = "token_replayed"
	CodeNotInRoom       Code = "not_in_room"
	CodeForbidden       Code = "forbidden"
	CodePeerOffline     Code = "peer_offline"
	CodeRateLimited     Code = "rate_limited"
	CodeBusy            Code = "busy"
	CodeInternal        Code = "internal"
)

// CloseCode is the status of a WebSocket close frame (RFC 6455, section 7.4) and,
// as [CloseCode.String], the label under which a disconnect is counted.
type CloseCode int

// The close codes. After 1001, 1006, 1011 to 1013 and 4000 to 4499 a client
// connects again; after 4500 to 4999 that would not help.
const (
	CloseNormal           CloseCode = 1000
	CloseGoingAway        CloseCode = 1001
	CloseBinary           CloseCode = 1003
	CloseAbnormal         CloseCode = 1006 // never sent: the connection broke
	CloseNotUTF8          CloseCode = 1007
	CloseTooLarge         CloseCode = 1009
	CloseInternal         CloseCode = 1011
	CloseDraining         CloseCode = 4000
	CloseSlowConsumer     CloseCode = 4001
	ClosePingTimeout      CloseCode = 4002
	CloseNodeLost         CloseCode = 4003
	CloseRateLimited      CloseCode = 4004
	CloseNotAuthenticated CloseCode = 4500
	CloseKicked           CloseCode = 4501
	CloseReplaced         CloseCode = 4502
	CloseExpired          CloseCode = 4503
	CloseProtocolError    CloseCode = 4504
)

// Reconnect reports whether a client that was closed with c should connect again.
func (c CloseCode) Reconnect() bool {
	switch {
	case c == CloseGoingAway, c == CloseAbnormal, c >= 1011 && c <= 1013:
		return true
	}
	return c >= 4000 && c < 4500
}

// String returns the label of c, in lower case with underscores.
func (c CloseCode) String() string {
	switch c {
	case CloseNormal:
		return "normal"
	case CloseGoingAway:
		return "going_away"
	case CloseBinary:
		return "binary"
	case CloseAbnormal:
		return "lost"
	case CloseNotUTF8:
		return "not_utf8"
	case CloseTooLarge:
		return "too_large"
	case CloseInternal:
		return "internal"
	case CloseDraining:
		return "draining"
	case CloseSlowConsumer:
		return "slow_consumer"
	case ClosePingTimeout:
		return "ping_timeout"
	case CloseNodeLost:
		return "node_lost"
	case CloseRateLimited:
		return "rate_limited"
	case CloseNotAuthenticated:
		return "not_authenticated"
	case CloseKicked:
		return "kicked"
	case CloseReplaced:
		return "replaced"
	case CloseExpired:
		return "expired"
	case CloseProtocolError:
		return "protocol_error"
	}
	return "other"
}
