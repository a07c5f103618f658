package listen

import (
	"cmp"
	"crypto/tls"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"
)

// ShareOptions says how a port is shared by HTTPS and TURN.
type ShareOptions struct {
	// TLS is what ShareTLS has returned. Required.
	TLS *tls.Config

	// Relay serves a connection that speaks TURN, on a goroutine of its own. It gets it after the handshake, with
	// nothing of it read and without deadlines, and returns when it is done with it; whatever it has left open is then
	// closed. It must return soon after reads and writes have begun to fail: see Shared.Close. Required.
	Relay func(net.Conn)

	// Timeout bounds handshake and first byte, both together. Default 10 s.
	Timeout time.Duration

	// Logger gets a line, at level debug, for each connection that speaks neither. Nil: nothing is logged.
	Logger *slog.Logger
}

const defaultShareTimeout = 10 * time.Second

// Shared is a TLS port that HTTPS and TURN share. As a net.Listener it yields the connections that are for HTTP; see
// Share.
type Shared struct {
	port  net.Listener // set at construction
	o     ShareOptions
	ready chan accepted // for Accept
	done  chan struct{} // closed by Close

	mu      sync.Mutex
	open    map[*tls.Conn]struct{} // guarded by mu: what Close closes; nil: it has
	running sync.WaitGroup         // the accept loop, and who serves open
}

// accepted is what Accept returns.
type accepted struct {
	conn net.Conn
	err  error
}

// Share makes a port of l, which it closes with the port.
//
// Each connection is served by a goroutine of its own until it is known what it speaks, so one that is slow keeps no
// other waiting; how many there may be is for l to bound. What the handshake has negotiated decides (RFC 7301):
// stun.turn and stun.nat-discovery (RFC 7443) are the relay's, http/1.1 is HTTP. Browsers negotiate nothing for TURN;
// then it is the first byte: every STUN message begins with 0 or 1, every HTTP request with a letter. All else is
// closed, and so is who says nothing within the timeout.
//
// A connection for HTTP is a *tls.Conn, or has the methods of one, so that http.Server finds its TLS state. Those whose
// handshake has failed are yielded, too: http.Server meets the same error, logs it, and answers who speaks HTTP without
// TLS.
//
// RemoteAddr of a connection of l is asked for in its own goroutine, before anything is read: it may wait for a PROXY
// header.
func Share(l net.Listener, o *ShareOptions) *Shared {
	s := &Shared{
		port:  l,
		o:     *o,
		ready: make(chan accepted),
		done:  make(chan struct{}),
		open:  map[*tls.Conn]struct{}{},
	}
	s.o.Timeout = cmp.Or(o.Timeout, defaultShareTimeout)
	s.o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	s.running.Go(s.acceptLoop)
	return s
}

// Accept returns the next connection for HTTP, or an error of the port's; net.ErrClosed after Close.
func (s *Shared) Accept() (net.Conn, error) {
	select {
	case a := <-s.ready:
		return a.conn, a.err
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Addr returns the port's address.
func (s *Shared) Addr() net.Addr { return s.port.Addr() }

// Close closes the port and every connection that Accept has not yielded, those of the relay included: below TLS, so
// it never waits. Wait waits for what that ends. Later calls do nothing.
func (s *Shared) Close() error {
	s.mu.Lock()
	open := s.open
	s.open = nil
	s.mu.Unlock()
	if open == nil {
		return nil
	}
	close(s.done)
	err := s.port.Close()
	for conn := range open {
		conn.NetConn().Close()
	}
	return err
}

// Wait returns when the port was closed and no goroutine of it is left: the relay has returned from every connection.
func (s *Shared) Wait() { s.running.Wait() }

// acceptLoop leaves errors to whoever accepts: until they have tried again, so does the loop.
func (s *Shared) acceptLoop() {
	for {
		nc, err := s.port.Accept()
		switch {
		case err == nil:
			s.start(nc)
		case !s.yield(accepted{err: err}):
			return
		}
	}
}

// start serves nc, which Close closes as long as it is open.
func (s *Shared) start(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		nc.Close()
		return
	}
	conn := tls.Server(nc, s.o.TLS)
	s.open[conn] = struct{}{}
	s.running.Go(func() { s.serve(conn) })
}

// forget leaves conn alone when the port is closed.
func (s *Shared) forget(conn *tls.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
}

// end closes conn without a farewell, for which one would have to wait.
func (s *Shared) end(conn *tls.Conn) {
	conn.NetConn().Close()
	s.forget(conn)
}

// yield waits for Accept; it reports false when there will be none.
func (s *Shared) yield(a accepted) bool {
	select {
	case s.ready <- a:
		return true
	case <-s.done:
		return false
	}
}

// serve finds out whose a connection is, and passes it on.
func (s *Shared) serve(conn *tls.Conn) {
	defer s.contain(conn)
	client, to := s.meet(conn)
	switch to {
	case toRelay: // not on this stack, which the handshake has grown
		s.running.Go(func() {
			defer s.end(conn)
			s.o.Relay(client)
		})
	case toHTTP:
		s.forget(conn) // before somebody has it, so that Close does not take it away
		if !s.yield(accepted{conn: client}) {
			s.end(conn)
		}
	default:
		s.end(conn)
	}
}

// contain lets a fault in the handshake with one client end that client alone.
func (s *Shared) contain(conn *tls.Conn) {
	if fault := recover(); fault != nil {
		s.o.Logger.Error("panic", "addr", conn.RemoteAddr(), "fault", fault, "stack", string(debug.Stack()))
		s.end(conn)
	}
}
