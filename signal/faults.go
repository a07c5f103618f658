package signal

import (
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// faults remembers when a client's last faulty messages came. The time of the
// oldest of them tells whether they came too fast.
type faults struct {
	at [protocol.MaxFaults]time.Time
	n  int
}

// add reports whether this is one more than is allowed in a minute.
func (f *faults) add(now time.Time) bool {
	i := f.n % len(f.at)
	tooMany := f.n >= len(f.at) && now.Sub(f.at[i]) < time.Minute
	f.at[i] = now
	f.n++
	return tooMany
}

// countFault closes a connection that goes on sending what makes no sense. Calling
// someone who is not here is no fault, nor is being told to slow down.
func (c *conn) countFault(code protocol.Code) {
	switch code {
	case protocol.CodePeerOffline, protocol.CodeInternal, protocol.CodeBusy:
		return
	case protocol.CodeRateLimited: // of a session; logins that do not wait are guesses
		if c.session != nil {
			return
		}
	}
	if c.faults == nil {
		c.faults = new(faults)
	}
	if c.faults.add(time.Now()) {
		c.shutdown(protocol.CloseProtocolError, "too many faulty messages")
	}
}
