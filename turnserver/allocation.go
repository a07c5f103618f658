package turnserver

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sigctl/sigctl/pkg/udp"
	"github.com/sigctl/sigctl/turnserver/internal/stream"
)

// maxDatagram is the longest UDP payload, in bytes, that IPv4 carries.
const maxDatagram = 65507

// client is who is at the other end of a five-tuple, and the way to it.
type client struct {
	fiveTuple
	listener *listener    // through which it reached us
	shard    *shard       // UDP: on which its packets come
	conn     *stream.Conn // the other transports
	refused  int          // requests over conn, since there was an allocation; owned by its goroutine
}

// send sends the client one message: head and body together are STUN, or ChannelData without padding. It never waits:
// what finds a full queue is dropped, and false returned. Body belongs to q until its next Flush.
func (c *client) send(q *udp.Queue, head, body []byte) bool {
	if c.conn != nil {
		return c.conn.Send(head, body)
	}
	if len(head)+len(body) > maxDatagram {
		return false
	}
	q.Add(c.shard.socket, c.client, head, body)
	return true
}

// sendCopy is send for a message that changes before the next Flush.
func (c *client) sendCopy(q *udp.Queue, message []byte) bool {
	if c.conn != nil {
		return c.conn.Send(nil, message)
	}
	if len(message) > maxDatagram {
		return false
	}
	q.AddCopy(c.shard.socket, c.client, message)
	return true
}

// coalescer is for who reads what peers send to the client; nil: connections have writers, which merge what is to be sent.
func (c *client) coalescer() *udp.Coalescer {
	if c.shard == nil {
		return nil
	}
	return &c.shard.coalescer
}

// errEnded says that an allocation is not there any more.
var errEnded = fmt.Errorf("%w: the allocation has ended", errControl)

// allocation is a relayed address, for as long as it lives (RFC 8656 section 2.2). The library keeps its permissions and
// channels, and says what becomes of them; its lifetime and all packets are ours.
type allocation struct {
	// set at construction
	server *Server
	client client
	owner  identity
	life   uint64 // no other allocation has or had it; see control
	opened time.Time
	socket *udp.Socket
	local  netip.AddrPort
	public netip.AddrPort // what clients are told; the same as local without a NAT
	use    *usage         // of its owner

	requests bucket // signed by the owner
	bindings bucket // Binding requests, which anybody may have sent in the client's name

	answer atomic.Pointer[[]byte] // to the Allocate request, for when that comes again; set by the guard

	flows flowTable
	once  sync.Once
	ended chan struct{} // closed by end

	// guarded by mu
	mu      sync.Mutex
	expires time.Time   // unless it is refreshed
	expiry  *time.Timer // ends it then; nil until the library has it
}

// serve reads what peers send until the allocation ends.
func (a *allocation) serve() {
	defer a.end() // a socket error
	b := newBatch(a.client.listener)
	_ = a.client.coalescer().Serve(a.socket, func(packets []udp.Packet) { a.fromPeers(b, packets) })
}

// liveFor makes the allocation end after d, and not when it was to end before, or returns errEnded.
func (a *allocation) liveFor(d time.Duration) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hasEnded() || a.expiry != nil && !a.expiry.Stop() {
		return errEnded
	}
	a.expires, a.expiry = a.server.auth.now().Add(d), time.AfterFunc(d, a.end)
	return nil
}

// isOver reports whether the allocation has ended. One that should have, by a timer that is late on a machine which stood
// still, ends now.
func (a *allocation) isOver() bool {
	a.mu.Lock()
	late := a.expiry != nil && !a.server.auth.now().Before(a.expires)
	a.mu.Unlock()
	if late {
		a.end()
	}
	return a.hasEnded()
}

func (a *allocation) stopExpiry() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.expiry != nil {
		a.expiry.Stop()
	}
}

// end ends the allocation, by the library's doing or ours. Nothing of it is left when it returns, but for its reader,
// which the server waits for.
func (a *allocation) end() {
	a.once.Do(func() {
		close(a.ended)
		a.stopExpiry()
		a.flows.end()
		if a.client.conn != nil {
			a.client.conn.Keep(false) // before there can be a new allocation, which keeps it
		}
		a.server.allocations.remove(a) // before the port can be another's
		a.socket.Close()
		a.server.Logger.Debug("allocation ended", "user", a.owner.user, "client", a.client.client, "relay", a.public,
			"lived", a.server.auth.now().Sub(a.opened))
	})
}
