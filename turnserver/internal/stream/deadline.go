package stream

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// deadline says how long a connection's reader may wait. It sets the read deadline of the socket, but rarely: one that
// comes too early stays until it passes, and is then found not to be due. So a client that goes on sending costs one
// setting per time-out, not one per read.
type deadline struct {
	nc      net.Conn
	timeout time.Duration // LoginTimeout

	mu    sync.Mutex
	kept  bool
	login time.Time // when an allocation is due, unless kept
	armed time.Time // the socket's read deadline; zero: none
}

// keep returns whether that is a change.
func (d *deadline) keep(kept bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept == kept {
		return false
	}
	d.kept = kept
	if !kept {
		d.login = time.Now().Add(d.timeout)
		d.armLocked(d.login) // a Read may be under way
	}
	return true
}

func (d *deadline) isKept() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.kept
}

// arm makes the next Read return at the latest when an allocation is due, or at the time by; zero: at no time.
func (d *deadline) arm(by time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.kept {
		by = earlier(by, d.login)
	}
	d.armLocked(by)
}

func (d *deadline) armLocked(by time.Time) {
	if by.IsZero() || !d.armed.IsZero() && !d.armed.After(by) {
		return
	}
	d.armed = by
	d.nc.SetReadDeadline(by) // fails on closed connections, which Read tells
}

// passed is called when a Read was timed out. It reports whether an allocation is due; the next arm sets a deadline
// anew.
func (d *deadline) passed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = time.Time{}
	d.nc.SetReadDeadline(d.armed)
	return !d.kept && !time.Now().Before(d.login)
}

// earlier returns the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// isTimeout reports whether err is that of a deadline; pion/dtls has its own. It is not that of a connection that the
// kernel gave up, which is final.
func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}
