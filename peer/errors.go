package peer

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// What a caller of this package can act on, with errors.Is. The error that wraps
// one of them says more: often it is, or wraps, a [ServerError].
var (
	ErrAuth     = errors.New("sign-in refused")
	ErrOffline  = errors.New("the other side is not there")
	ErrBusy     = errors.New("the other side is busy")
	ErrRejected = errors.New("the other side refused the call")
	ErrTimeout  = errors.New("no connection could be made in time")
	ErrHangup   = errors.New("the other side hung up")
	ErrLost     = errors.New("connection lost")
	ErrExpired  = errors.New("the sign-in has expired, or was revoked")
	ErrKicked   = errors.New("the server's administrator ended the session")
	ErrClosed   = errors.New("closed")
	ErrTooLong  = errors.New("text is longer than 16384 bytes")
	ErrProtocol = errors.New("the other side broke the protocol")
)

// ServerError is what the signaling server answered. It is an [ErrOffline], an
// [ErrBusy] or an [ErrRejected] if its code says so.
type ServerError struct {
	Code       protocol.Code
	Message    string // for people
	RetryAfter int    // seconds to wait before another try; 0 is not said
}

// Error returns the text and the code.
func (e *ServerError) Error() string { return fmt.Sprintf("%s (%s)", e.Message, e.Code) }

// Is reports whether the code means target.
func (e *ServerError) Is(target error) bool {
	switch e.Code {
	case protocol.CodePeerOffline:
		return target == ErrOffline
	case protocol.CodeBusy:
		return target == ErrBusy
	case protocol.CodeForbidden, protocol.CodeNotInRoom:
		return target == ErrRejected
	}
	return false
}

func serverError(m protocol.Error) error {
	return &ServerError{Code: m.Code, Message: m.Message, RetryAfter: m.RetryAfter}
}

// rejection is the error for a reject's reason.
func rejection(reason string) error {
	switch reason {
	case protocol.ReasonBusy:
		return ErrBusy
	case protocol.ReasonDeclined:
		return ErrRejected
	}
	return fmt.Errorf("%w: %s", ErrRejected, printable(reason))
}

// departure is the error for the reason of a hang-up or leave.
func departure(reason string) error {
	switch reason {
	case "", protocol.ReasonHangup:
		return ErrHangup
	case protocol.ReasonICETimeout:
		return ErrTimeout
	case protocol.ReasonBusy:
		return ErrBusy
	case protocol.ReasonDeclined:
		return ErrRejected
	case protocol.ReasonDisconnected:
		return fmt.Errorf("%w: the other side lost its connection to the server", ErrLost)
	}
	return fmt.Errorf("%w: %s", ErrHangup, printable(reason))
}

// printable makes a text of the other side fit to be shown.
func printable(s string) string {
	if len(s) > protocol.MaxReasonLen {
		s = s[:protocol.MaxReasonLen]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}
