package dtls

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/transport/v5/deadline"

	"github.com/sigctl/sigctl/pkg/limit"

	pion "github.com/pion/dtls/v3"
)

const (
	// maxQueued is how many packets wait for a session; a client's burst, as one batch of the socket brings it.
	maxQueued = 64

	// maxPacket is what pion/dtls reads at once.
	maxPacket = 8192

	// maxSetup bounds the bytes of handshake messages, and of what comes before their end, that a session takes in all its
	// life: pion/dtls would keep up to 2 MB of fragments. A handshake without client certificates takes 500 to 1500.
	maxSetup = 16 << 10
)

// session is one client's, from the hello with the cookie to the end of Handle. pion/dtls sees it as the socket.
type session struct {
	// set at construction
	socket socket
	tuple  tuple
	random [randomLen]byte // of the hello that it began with
	second []byte          // the hello
	cookie []byte          // of it
	done   chan struct{}   // closed when Handle has returned, or will not be called
	ctx    context.Context // ends the handshake
	stop   context.CancelCauseFunc

	conn        *pion.Conn // set by run, before the handshake
	established atomic.Bool

	hellos   chan []byte // the first, and the second when it is asked for
	queue    chan []byte // other packets
	readable *deadline.Deadline
	closed   chan struct{}
	close    sync.Once

	slot     *limit.Slot // guarded by Listener.mu
	setup    int         // owned by ReadFrom: what is left of maxSetup
	renumber uint64      // owned by WriteTo: what is added to the sequence numbers in clear that pion/dtls gives
}

func newSession(ctx context.Context, s socket, t tuple, h *hello, p []byte) *session {
	c := &session{
		socket: s, tuple: t, random: h.random(), second: bytes.Clone(p), cookie: bytes.Clone(h.cookie), setup: maxSetup,
		renumber: h.sequence, done: make(chan struct{}), closed: make(chan struct{}), readable: deadline.New(),
		hellos: make(chan []byte, 2), queue: make(chan []byte, maxQueued),
	}
	c.ctx, c.stop = context.WithCancelCause(ctx)
	c.hellos <- firstOf(p, h)
	return c
}

// evict ends a handshake so that another one has its slot. The caller holds the Listener's lock.
func (s *session) evict(why limit.Reason) {
	if why == limit.AddressFull {
		s.stop(errNetworkHalfOpen)
	} else {
		s.stop(errHalfOpen)
	}
}

var (
	errHalfOpen        = errors.New("stopped to make room for a newer handshake")
	errNetworkHalfOpen = errors.New("stopped to make room for a newer handshake of the same network")
)

// run is the life of a session.
func (l *Listener) run(s *session) {
	err := l.handshake(s)
	former, ok := l.settle(s, err)
	if former != nil {
		former.conn.Close()
		<-former.done // never two at a time with one client
	}
	if ok {
		l.cfg.Handle(conn{s.conn})
	} else {
		l.cfg.Log.Debug("DTLS handshake failed", "client", s.tuple.remote, "error", err)
	}
	if s.conn != nil {
		s.conn.Close()
	}
	if ok {
		l.forget(s)
	}
	close(s.done)
}

func (l *Listener) handshake(s *session) (err error) {
	if s.conn, err = newConn(s, l.cfg.Certificate); err != nil {
		return err
	}
	defer s.stop(nil)
	ctx, cancel := context.WithTimeout(s.ctx, l.cfg.HandshakeTimeout)
	defer cancel()
	if err = s.conn.HandshakeContext(ctx); err != nil && s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return err
}

// settle ends the time of s as a half-open session, and reports whether it is one now: not if the handshake failed or the
// Listener is closing. If so the session whose place it takes is to be closed.
func (l *Listener) settle(s *session, err error) (former *session, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peers[s.tuple]
	p.halfOpen = nil
	if err != nil || l.closed {
		l.refuse(reasonOf(err))
		l.admission.failed(s)
		l.tidyLocked(s.tuple, p)
		return nil, false
	}
	former, p.established = p.established, s
	s.established.Store(true)
	l.admission.established(s)
	l.counters.established.Add(1)
	return former, true
}

// forget removes a session that has ended; another may have taken its place.
func (l *Listener) forget(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.admission.ended(s)
	if p := l.peers[s.tuple]; p != nil && p.established == s {
		p.established = nil
		l.tidyLocked(s.tuple, p)
	}
}

func (l *Listener) tidyLocked(t tuple, p *peer) {
	if *p == (peer{}) {
		delete(l.peers, t)
	}
}

// reasonOf says why a handshake came to nothing. No error: the Listener was closed.
func reasonOf(err error) Reason {
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return Closing
	case errors.Is(err, errHalfOpen):
		return HalfOpen
	case errors.Is(err, errNetworkHalfOpen):
		return NetworkHalfOpen
	case errors.Is(err, errCertificate):
		return NoCertificate
	case errors.Is(err, context.DeadlineExceeded):
		return TimedOut
	}
	return HandshakeFailed
}

// push queues a copy of a packet, and reports whether there was room.
func (s *session) push(p []byte) bool {
	if len(p) > maxPacket || len(s.queue) == cap(s.queue) {
		return false
	}
	select {
	case s.queue <- bytes.Clone(p):
		return true
	default:
		return false
	}
}

// ReadFrom gives pion/dtls the next packet that has something for it. It is called by one goroutine at a time.
func (s *session) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		select {
		case p := <-s.hellos:
			return copy(b, p), s.remote(), nil
		case p := <-s.queue:
			if n := copy(b, s.filter(p)); n != 0 {
				return n, s.remote(), nil
			}
		case <-s.readable.Done():
			return 0, nil, context.DeadlineExceeded
		case <-s.closed:
			return 0, nil, net.ErrClosed
		}
	}
}

// filter returns the records of a datagram that s may see, in place.
func (s *session) filter(p []byte) []byte {
	kept := p[:0]
	for record, rest := cutRecord(p); record != nil; record, rest = cutRecord(rest) {
		if s.sees(record) {
			kept = append(kept, record...)
		}
	}
	return kept
}

// sees reports whether a record is let through. After the handshake nothing in clear is: pion/dtls would take an alert for
// the client's. There is one epoch then, since there is no renegotiation; of others pion/dtls would keep 100 packets.
func (s *session) sees(record []byte) bool {
	kind, epoch, established := record[0], epochOf(record), s.established.Load()
	if kind < typeChangeCipherSpec || kind > typeApplicationData || epoch > 1 || epoch == 0 && established {
		return false
	}
	if established && kind != typeHandshake {
		return true
	}
	s.setup -= len(record)
	return s.setup >= 0
}

// WriteTo sends a packet of pion/dtls's, which writes one at a time. Its HelloVerifyRequest is not sent: the client has had ours, and answered it.
// Errors are those of a lost packet, except that the socket is closed.
func (s *session) WriteTo(p []byte, _ net.Addr) (int, error) {
	if isVerifyRequest(p) {
		replaceCookie(s.conn, s.cookie)
		s.renumber-- // for the number that it took
		select {
		case s.hellos <- s.second:
		default: // it was asked for before
		}
		return len(p), nil
	}
	if epochOf(p) == 0 {
		p = s.renumbered(p)
	}
	if err := s.socket.WriteTo(p, s.tuple.remote); errors.Is(err, net.ErrClosed) {
		return 0, err
	}
	return len(p), nil
}

// renumbered makes the sequence numbers in clear go on from that of the client's hello, as RFC 6347, section 4.2.1, wants:
// those before it may have been used up by HelloVerifyRequests, and the client takes no number twice.
func (s *session) renumbered(p []byte) []byte {
	out := bytes.Clone(p)
	for record, rest := cutRecord(out); record != nil; record, rest = cutRecord(rest) {
		if epochOf(record) == 0 {
			setSequence(record, sequenceOf(record)+s.renumber)
		}
	}
	return out
}

func (s *session) remote() net.Addr { return net.UDPAddrFromAddrPort(s.tuple.remote) }

// LocalAddr is the socket's.
func (s *session) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.tuple.local) }

// Close wakes ReadFrom.
func (s *session) Close() error {
	s.close.Do(func() { close(s.closed) })
	return nil
}

// SetReadDeadline is how pion/dtls wakes ReadFrom.
func (s *session) SetReadDeadline(t time.Time) error {
	s.readable.Set(t)
	return nil
}

// SetWriteDeadline does nothing: writing does not wait.
func (s *session) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (s *session) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }
