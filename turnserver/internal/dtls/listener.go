package dtls

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
)

// Listener accepts sessions on the sockets that it serves, any number of them at a time: the shards of one port, or ports
// at several addresses.
type Listener struct {
	// set at construction
	cfg     Config
	cookies *cookies
	ctx     context.Context // ends handshakes under way
	stop    context.CancelFunc
	wg      sync.WaitGroup // of sessions
	counters

	// guarded by mu
	mu        sync.Mutex
	closed    bool
	peers     map[tuple]*peer
	admission admission
}

// tuple is where a packet came from and where to, which is how a session is known.
type tuple struct{ local, remote netip.AddrPort }

// peer is what there is at a tuple: a session, one in the making, or both if a client has started anew. Guarded by
// Listener.mu.
type peer struct{ established, halfOpen *session }

// socket is what a Listener needs of a udp.Socket.
type socket interface {
	LocalAddr() netip.AddrPort
	WriteTo(p []byte, to netip.AddrPort) error
}

// New returns a Listener that serves no socket yet. It fails if there is no certificate.
func New(cfg *Config) (*Listener, error) {
	full, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if _, err := newConn(&session{}, full.Certificate); err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	l := &Listener{cfg: full, cookies: newCookies(), peers: map[tuple]*peer{}}
	l.admission = newAdmission(&l.cfg)
	l.ctx, l.stop = context.WithCancel(context.Background())
	return l, nil
}

// Close ends all sessions, tells their clients (close_notify), and waits until every Handle has returned. The sockets are
// the caller's to close, afterwards; what they bring until then is dropped. It always returns nil.
func (l *Listener) Close() error {
	l.mu.Lock()
	l.closed = true
	var sessions []*session
	for _, p := range l.peers {
		if p.established != nil {
			sessions = append(sessions, p.established)
		}
	}
	l.mu.Unlock()
	l.stop()
	for _, s := range sessions {
		s.conn.Close()
	}
	l.wg.Wait()
	return nil
}

// receive takes one packet that came to a socket. It never waits, and does not keep p.
func (l *Listener) receive(s socket, from netip.AddrPort, p []byte) {
	t := tuple{s.LocalAddr(), from}
	if !looksLikeHello(p) {
		l.deliver(t, p)
		return
	}
	now := time.Now()
	switch h, ok := parseHello(p); {
	case !ok:
		l.refuse(Malformed)
	case h.messageSeq == 0:
		l.ask(s, t, &h, now)
	case h.messageSeq != 1 || !l.cookies.good(t, &h, now):
		l.refuse(BadCookie)
	default:
		if reason := l.begin(s, t, &h, p, now); reason != none {
			l.refuse(reason)
		}
	}
}

// ask answers a first hello with a cookie, and forgets it.
func (l *Listener) ask(s socket, t tuple, h *hello, now time.Time) {
	d := l.cookies.desk()
	defer l.cookies.giveBack(d)
	verifyRequest(&d.answer, h.sequence, d.cookie(t, h, period(now)))
	_ = s.WriteTo(d.answer[:], t.remote) // lost, like any packet; the client asks again
	l.asked.Add(1)
}

// begin starts a session with a client that has proved its address, if there is room.
func (l *Listener) begin(s socket, t tuple, h *hello, p []byte, now time.Time) Reason {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return Closing
	}
	known := l.peers[t]
	if known != nil && (known.halfOpen != nil || known.established.random == h.random()) {
		return Duplicate
	}
	var begun *session
	slot, reason := l.admission.begin(t.remote.Addr(), now, func(why limit.Reason) { begun.evict(why) })
	if reason != none {
		return reason
	}
	begun = newSession(l.ctx, s, t, h, p)
	begun.slot = slot
	if known == nil {
		known = &peer{}
		l.peers[t] = known
	}
	known.halfOpen = begun
	l.wg.Go(func() { l.run(begun) })
	return none
}

// deliver gives a packet to whom it belongs: where there are two sessions at a tuple only one of them can decrypt it.
func (l *Listener) deliver(t tuple, p []byte) {
	known := l.known(t)
	if known == (peer{}) {
		l.strangers.Add(1)
		return
	}
	for _, s := range [...]*session{known.established, known.halfOpen} {
		if s != nil && !s.push(p) {
			l.dropped.Add(1)
		}
	}
}

// known returns what there is at a tuple now.
func (l *Listener) known(t tuple) peer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.peers[t]; p != nil {
		return *p
	}
	return peer{}
}
