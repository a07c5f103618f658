package signal

import (
	"errors"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// record writes an event down. Who would grant something does not, if it fails.
func (s *Server) record(e audit.Event) error {
	if err := s.cfg.Audit.Record(e); err != nil {
		s.log.Error("audit record is not written", "event", e.Kind, "err", err)
		return err
	}
	return nil
}

// refused writes down that somebody is refused, and returns what they are told. e
// says what was tried.
func (s *Server) refused(err error, e audit.Event) protocol.Error {
	var r *refusal
	var fault protocol.Error
	switch {
	case errors.As(err, &r):
		fault, e.Why = r.told, r.why
		if r.kind != "" {
			e.Kind = r.kind
		}
	case errors.As(err, &fault):
		e.Why = fault.Message
	default:
		s.log.Error("internal error", "doing", e.Kind, "user", e.User, "addr", e.Address, "err", err)
		fault, e.Why = protocol.Error{Code: protocol.CodeInternal, Message: "internal error"}, "internal error"
	}
	e.Code = fault.Code
	if wait := s.refusals.Take(limit.Group(e.Address), 1); wait > 0 && fault.Code != protocol.CodeRateLimited {
		fault = protocol.Error{Code: protocol.CodeRateLimited, Message: "too many refusals, try again later", RetryAfter: wholeSeconds(wait)}
		e.Code = fault.Code // of which the log keeps a count
	}
	s.record(e) // logged; there is nothing to take back
	return fault
}

// refusalsPerAddress are told and written down one by one. Above, nobody learns more
// than that, and strangers cannot fill the audit log until it forgets.
var refusalsPerAddress = limit.Rate{PerSecond: 1, Burst: 100}

// event adds who and where the session is.
func (s *session) event(e audit.Event) audit.Event {
	e.User, e.Source, e.Address, e.Room, e.Session = s.name, s.method, s.conn.client, s.room.name, s.conn.id
	return e
}
