package stream

import (
	"errors"
	"fmt"
)

// Reason says why this side refused or ended a connection. It is a label of metrics.
type Reason string

// Reasons for which connections are refused or ended. Those for which there is no slot are named as limit.Reason is.
const (
	TooMany            Reason = "too_many"              // Acceptor.Pending: refused, or closed to make room
	TooManyFromAddress Reason = "too_many_from_address" // likewise, of one address
	TooFastFromAddress Reason = "too_fast_from_address" // ConnsPerAddress
	BadProxyHeader     Reason = "bad_proxy_header"      // a trusted proxy's fault
	BadHandshake       Reason = "bad_handshake"         // of TLS
	NoAllocation       Reason = "no_allocation"         // LoginTimeout
	SlowMessage        Reason = "slow_message"          // FrameTimeout
	BadMessage         Reason = "bad_message"           // neither STUN nor ChannelData, or too long
	SlowReader         Reason = "slow_reader"           // WriteTimeout
)

// reasons are all of them: metrics begin with those that have not happened yet.
func reasons() []Reason {
	return []Reason{TooMany, TooManyFromAddress, TooFastFromAddress, BadProxyHeader, BadHandshake, NoAllocation, SlowMessage, BadMessage, SlowReader}
}

// refusal is an error of the client's, for which this side ends the connection.
type refusal struct {
	reason Reason
	err    error
}

func refuse(reason Reason, format string, args ...any) error {
	return &refusal{reason, fmt.Errorf(format, args...)}
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// reasonOf returns the reason if err is a refusal. Others are the client's own end, or ours.
func reasonOf(err error) (Reason, bool) {
	var r *refusal
	if errors.As(err, &r) {
		return r.reason, true
	}
	return "", false
}
