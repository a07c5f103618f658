package signal

import (
	"maps"
	"sync"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// slots is how many groups the connections are in: one is pinged every second,
// so each connection is pinged every protocol.PingInterval.
const slots = int(protocol.PingInterval / time.Second)

// registry holds every WebSocket, grouped by when it is pinged.
type registry struct {
	mu     sync.Mutex
	slot   [slots]map[*conn]struct{}
	next   uint8
	open   int
	closed map[protocol.CloseCode]uint64 // ended connections by how they ended
	ended  bool
}

// add takes c in; it reports false once the registry was closed.
func (r *registry) add(c *conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return false
	}
	c.slot = r.next
	r.next = (r.next + 1) % uint8(slots)
	if r.slot[c.slot] == nil {
		r.slot[c.slot] = map[*conn]struct{}{}
	}
	r.slot[c.slot][c] = struct{}{}
	r.open++
	c.server.running.Add(1)
	return true
}

func (r *registry) remove(c *conn, code protocol.CloseCode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.slot[c.slot], c)
	r.open--
	if r.closed == nil {
		r.closed = map[protocol.CloseCode]uint64{}
	}
	r.closed[code]++
}

// closeAll closes every connection and takes no more.
func (r *registry) closeAll(code protocol.CloseCode) {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	for i := range slots {
		r.each(i, func(c *conn) { c.shutdown(code, "the server is going down") })
	}
}

// each calls f, which must not wait, for every connection of a slot.
func (r *registry) each(slot int, f func(*conn)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.slot[slot] {
		f(c)
	}
}

func (r *registry) stats() (open int, closed map[protocol.CloseCode]uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open, maps.Clone(r.closed)
}
