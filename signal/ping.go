package signal

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// pongSlots is how many seconds after its ping a slot is looked at for pongs.
const pongSlots = int(protocol.PongTimeout / time.Second)

// staleAfter is how long a ping may be unanswered before another login under the
// same name takes the session over: its owner has likely lost the old socket.
const staleAfter = 3 * time.Second

// pingLoop visits one slot a second. Only marks are made here; each connection's
// own writer sends the ping, so that a full socket stops nobody else's.
func (s *Server) pingLoop(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for slot := 0; ; slot = (slot + 1) % slots {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.conns.each((slot+slots-pongSlots)%slots, func(c *conn) { c.expectPong() })
			s.conns.each(slot, func(c *conn) { c.ping(now) })
		}
	}
}

// heartbeat is the state of a connection's pings. Guarded by conn.mu.
type heartbeat struct {
	sent time.Time // of the ping that is unanswered; zero if none is
	due  bool      // the writer has to send it
	rtt  time.Duration
}

func (c *conn) ping(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.closing == 0 {
		c.out.beat.sent, c.out.beat.due = now, true
		c.wakeWriterLocked()
	}
}

// expectPong ends a session whose client has not answered its last ping. Before
// the login only LoginTimeout counts: while a password is checked nothing is read.
func (c *conn) expectPong() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.numbered && !c.out.beat.sent.IsZero() {
		c.shutdownLocked(protocol.ClosePingTimeout, "no answer to a ping")
	}
}

// pong takes the round-trip time from the payload of our own last ping.
func (c *conn) pong(payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.out.beat.sent.IsZero() && bytes.Equal(payload, pingPayload(c.out.beat.sent)) {
		c.out.beat.rtt = time.Since(c.out.beat.sent)
		c.out.beat.sent = time.Time{}
	}
}

// stale reports whether the client has left a ping unanswered for so long that it
// is probably gone.
func (c *conn) stale() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.out.beat.sent.IsZero() && time.Since(c.out.beat.sent) > staleAfter
}

func pingPayload(sent time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(sent.UnixNano()))
}
