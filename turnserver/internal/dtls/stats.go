package dtls

import "sync/atomic"

// Reason is why a hello was refused, or why a handshake that began came to nothing. Its String is fit for a metric's label.
type Reason int

const (
	none Reason = iota

	// Refused, without an answer.

	Malformed       // looks like a ClientHello, and is none, or not one that is whole in one record
	BadCookie       // a cookie that is not ours, not this client's, or too old
	Duplicate       // the hello of a handshake that is under way or done, again
	NetworkHalfOpen // Config.MaxHalfOpenPerNetwork; also begun, and stopped to make room
	NetworkRate     // Config.HandshakesPerNetwork
	AddressSessions // Config.MaxSessionsPerAddress
	HalfOpen        // Config.MaxHalfOpen; likewise
	Rate            // Config.Handshakes
	Sessions        // Config.MaxSessions
	Closing         // the Listener is closing

	// Begun, and failed.

	NoCertificate   // Config.Certificate failed, or its key does not fit
	TimedOut        // Config.HandshakeTimeout
	HandshakeFailed // the client gave up, or nothing was found that both support

	reasons
)

var labels = [reasons]string{
	"none", "malformed", "bad_cookie", "duplicate", "network_half_open", "network_rate", "address_sessions",
	"half_open", "rate", "sessions", "closing", "no_certificate", "timed_out", "handshake_failed",
}

func (r Reason) String() string { return labels[r] }

// Stats are what there is now, and counts since the start.
type Stats struct {
	Sessions int // established, now
	HalfOpen int // handshakes under way, now

	Asked       uint64            // first hellos that were answered with a HelloVerifyRequest
	Established uint64            // handshakes that succeeded
	Refused     map[Reason]uint64 // hellos and handshakes that were not; each Reason is there
	Strangers   uint64            // packets that belong to no session and are no hello
	Dropped     uint64            // packets of a session that did not keep up
}

// counters are what Stats is read from.
type counters struct {
	asked, established, strangers, dropped atomic.Uint64
	refused                                [reasons]atomic.Uint64
}

func (c *counters) refuse(r Reason) { c.refused[r].Add(1) }

// Stats returns the counts. They are read one after the other while the Listener works.
func (l *Listener) Stats() Stats {
	s := Stats{
		Asked: l.asked.Load(), Established: l.counters.established.Load(),
		Strangers: l.strangers.Load(), Dropped: l.dropped.Load(), Refused: map[Reason]uint64{},
	}
	for r := none + 1; r < reasons; r++ {
		s.Refused[r] = l.refused[r].Load()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Sessions, s.HalfOpen = l.admission.sessions, l.admission.halfOpen.Len()
	return s
}
