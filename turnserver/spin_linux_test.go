package turnserver

import (
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// The header of a message of 65 536 bytes that never comes makes pion/turn's framer spin, up to v5.1.2. Here it costs
// nothing, whoever sends it: the connection is closed, at once or when the message is overdue, and meanwhile nobody works.
func TestHeaderThatSpins(t *testing.T) {
	const header = "\x00\x01\xff\xec\x21\x12\xa4\x42abcdefghijkl"
	for _, transport := range []Transport{TCP, TLS, DTLS} {
		for name, allocated := range map[string]bool{"stranger": false, "client": true} {
			ts := newHastyServer(t, patience, frameHaste)
			c := ts.over(transport, "mallory")
			if allocated {
				c.allocate()
			}
			cpu, began := cpuTime(t), time.Now()
			io.WriteString(c.conn, header)
			wantClosed(t, transport.String(), c.conn, "")
			cpu, took := cpuTime(t)-cpu, time.Since(began)
			t.Logf("%s over %v: closed after %v, which took %v of CPU", name, transport, took, cpu)
			if cpu > frameHaste/2 {
				t.Errorf("%s over %v: it took %v of CPU", name, transport, cpu)
			}
			next := ts.over(transport, "bob")
			next.wantOK(stun.MethodBinding, next.roundTrip(stun.MustBuild(stun.TransactionID, stun.BindingRequest)))
		}
	}
}

// cpuTime is what this process has used.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
