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

// loginRetry is after how many seconds a login that finds no room may be tried again. Who waits that
// long each time is never closed for too many faults: 60 / protocol.MaxFaults is less.
const loginRetry = 10

// countFault closes a connection that goes on sending what makes no sense. Calling
// someone who is not here is no fault, nor is a session's being told to slow down.
func (c *conn) countFault(code protocol.Code) {
	switch code {
	case protocol.CodePeerOffline, protocol.CodeInternal:
		return
	case protocol.CodeRateLimited, protocol.CodeBusy: // of a session; logins that do not wait are a flood
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
