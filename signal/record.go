package signal

import (
	"context"
	"errors"

	"github.com/sigctl/sigctl/pkg/audit"
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
	case errors.Is(err, context.Canceled): // who asked has gone
		fault, e.Why = protocol.Error{Code: protocol.CodeInternal, Message: "canceled"}, "canceled"
	default:
		s.log.Error("internal error", "doing", e.Kind, "user", e.User, "addr", e.Address, "err", err)
		fault, e.Why = protocol.Error{Code: protocol.CodeInternal, Message: "internal error"}, "internal error"
	}
	e.Code = fault.Code
	s.record(e) // logged; there is nothing to take back
	return fault
}

// event adds who and where the session is.
func (s *session) event(e audit.Event) audit.Event {
	e.User, e.Source, e.Address, e.Room, e.Session = s.name, s.method, s.conn.client, s.room.name, s.conn.id
	return e
}
