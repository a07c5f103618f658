package signal

import (
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// Rates are how fast one session may send, by kind of message, and how often one user may sign in.
// The zero Rate of each means its default.
type Rates struct {
	Candidates   limit.Rate // a batch counts as many. Default 20 a second, 100 at once: a browser finds tens
	Descriptions limit.Rate // offers and answers. Default 5 a second, 20 at once
	Others       limit.Rate // Default 10 a second, 50 at once
	SignIns      limit.Rate // of one user, over WebSocket and HTTP API together. Default 1 a second, 20 at once
}

func (r Rates) withDefaults() Rates {
	set := func(r *limit.Rate, perSecond float64, burst int) {
		if *r == (limit.Rate{}) {
			*r = limit.Rate{PerSecond: perSecond, Burst: burst}
		}
	}
	set(&r.Candidates, 20, 100)
	set(&r.Descriptions, 5, 20)
	set(&r.Others, 10, 50)
	set(&r.SignIns, 1, 20)
	return r
}

// tooFastRate is that of messages that came too fast, above which the client is
// closed.
var tooFastRate = limit.Rate{PerSecond: 10, Burst: 100}

// rates are what a session has left to send.
type rates struct{ candidates, descriptions, others, tooFast limit.Bucket }

// take refuses a message that comes too fast. A client that does not slow down
// is closed.
func (s *session) take(m protocol.FromClient) error {
	if s.rates == nil {
		s.rates = new(rates)
	}
	now := time.Now()
	wait := s.rates.take(now, &s.conn.server.cfg.Rates, m)
	if wait == 0 {
		return nil
	}
	if s.rates.tooFast.Take(now, tooFastRate, 1) > 0 {
		s.conn.shutdown(protocol.CloseRateLimited, "messages come too fast")
	}
	fault := protocol.Error{
		Code: protocol.CodeRateLimited, RetryAfter: wholeSeconds(wait),
		Message: protocol.TypeOf(m) + " comes too often",
	}
	if f, ok := m.(protocol.Forwarded); ok {
		fault.Name, fault.Call = f.Party()
	}
	return fault
}

func (r *rates) take(now time.Time, limits *Rates, m protocol.FromClient) time.Duration {
	switch m := m.(type) {
	case protocol.Candidate:
		return r.candidates.Take(now, limits.Candidates, 1)
	case protocol.Candidates:
		return r.candidates.Take(now, limits.Candidates, max(1, len(m.Candidates)))
	case protocol.Offer, protocol.Answer:
		return r.descriptions.Take(now, limits.Descriptions, 1)
	}
	return r.others.Take(now, limits.Others, 1)
}

// takeSignIn refuses a user who signs in too often. It is for those whose credentials have proved
// right: nobody else can use up a user's sign-ins.
func (s *Server) takeSignIn(name string) error {
	wait := s.signIns.Take(name, 1)
	if wait == 0 {
		return nil
	}
	r := refuse(protocol.CodeRateLimited, name+" signs in too often", "too many sign-ins of one user")
	r.told.RetryAfter = wholeSeconds(wait)
	return r
}
