package turnserver

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Bounds of one allocation: the library keeps as many as a client asks for, hundreds of bytes and a timer each. A peer
// offers some ten addresses.
const (
	maxPermissions = 256
	maxChannels    = 256
)

// flows are the permissions and channels of one allocation at one time. The maps are never changed: those who look
// take no lock.
type flows struct {
	permitted map[netip.Addr]*permission
	byNumber  map[uint16]*channel
	byPeer    map[netip.AddrPort]*channel

	shared bool // while it is made: the maps are those of the version before
}

// permission lets packets of one address of peers pass (RFC 8656 section 2.3).
type permission struct{ verdict verdict }

// channel is a short name for a peer (RFC 8656 section 2.5). A permission for the peer's address comes with it, and may
// end before it.
type channel struct {
	number    uint16
	peer      netip.AddrPort
	permitted atomic.Bool // there is such a permission
	known     atomic.Pointer[route]
}

// route is what is known of a channel's peer, as long as the policy and, where relays of this server are, their table are
// the ones that were asked.
type route struct {
	permitted bool // by the policy
	hop       hop

	policy, table uint64 // versions
	atRelays      bool
}

// route is looked up when the policy has changed, and where relays of this server are when one has come or gone.
func (c *channel) route(a *allocation, p *policy) *route {
	table := &a.server.allocations.version
	if r := c.known.Load(); r != nil && r.policy == p.version && (!r.atRelays || r.table == table.Load()) {
		return r
	}
	r := &route{
		permitted: p.permits(c.peer), policy: p.version,
		atRelays: a.server.atRelays(c.peer, p), table: table.Load(),
	}
	r.hop = a.server.hop(a, c.peer, p)
	c.known.Store(r)
	return r
}

// flowTable holds the newest flows of an allocation. The library calls what changes it, under locks of its own.
type flowTable struct {
	now atomic.Pointer[flows]

	mu    sync.Mutex // held while a new version is made
	ended bool
	draft *flows // the next version, while many changes come at once; its maps are nobody else's
}

var noFlows flows

func (t *flowTable) load() *flows {
	if f := t.now.Load(); f != nil {
		return f
	}
	return &noFlows
}

// end forgets all, for good.
func (t *flowTable) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended, t.draft = true, nil
	t.now.Store(nil)
}

// together makes all changes that come during do one.
func (t *flowTable) together(do func()) {
	t.mu.Lock()
	f := t.load()
	t.draft = &flows{permitted: maps.Clone(f.permitted), byNumber: maps.Clone(f.byNumber), byPeer: maps.Clone(f.byPeer)}
	t.mu.Unlock()
	do()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended {
		t.now.Store(t.draft)
	}
	t.draft = nil
}

func (t *flowTable) change(edit func(*flows)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	if t.draft != nil {
		edit(t.draft)
		return
	}
	f := *t.load()
	f.shared = true
	edit(&f)
	f.shared = false
	t.now.Store(&f)
}

func (t *flowTable) permit(ip netip.Addr) {
	t.change(func(f *flows) {
		f.permitted = with(!f.shared, f.permitted, ip, new(permission))
		f.setPermitted(ip, true)
	})
}

func (t *flowTable) forbid(ip netip.Addr) {
	t.change(func(f *flows) {
		f.permitted = without(!f.shared, f.permitted, ip)
		f.setPermitted(ip, false)
	})
}

// setPermitted tells the channels to ip.
func (f *flows) setPermitted(ip netip.Addr, permitted bool) {
	for _, c := range f.byNumber {
		if c.peer.Addr() == ip {
			c.permitted.Store(permitted)
		}
	}
}

func (t *flowTable) bind(number uint16, peer netip.AddrPort) {
	t.change(func(f *flows) {
		c := &channel{number: number, peer: peer}
		c.permitted.Store(f.permitted[peer.Addr()] != nil)
		f.byNumber = with(!f.shared, f.byNumber, number, c)
		f.byPeer = with(!f.shared, f.byPeer, peer, c)
	})
}

func (t *flowTable) unbind(number uint16, peer netip.AddrPort) {
	t.change(func(f *flows) {
		f.byNumber = without(!f.shared, f.byNumber, number)
		f.byPeer = without(!f.shared, f.byPeer, peer)
	})
}

// with returns m, or a copy of it if it is not one's own, with value at key.
func with[K comparable, V any](own bool, m map[K]V, key K, value V) map[K]V {
	if !own {
		m = maps.Clone(m)
	}
	if m == nil {
		m = make(map[K]V)
	}
	m[key] = value
	return m
}

// without returns m, or a copy of it if it is not one's own, with nothing at key.
func without[K comparable, V any](own bool, m map[K]V, key K) map[K]V {
	if !own {
		m = maps.Clone(m)
	}
	delete(m, key)
	return m
}
