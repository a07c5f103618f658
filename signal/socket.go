package signal

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/listen"
)

// socket is an accepted connection, below TLS and WebSocket. It holds a slot of
// the pending ones until its client has signed in or it is closed, whichever is first.
//
// It lets the reader of an idle connection wait at the bottom of its stack:
// [socket.Read] inside TLS and the WebSocket library would hold on to 8 KB of
// stack, most of what such a connection costs, where [socket.wait] lets the
// garbage collector have half of them back. And it lets whoever has a message for
// the connection write it at once, as far as the kernel takes it without waiting.
type socket struct {
	net.Conn
	raw       syscall.RawConn // nil: waits and writes go through Conn
	admission *admission
	slot      *limit.Slot // guarded by admission.mu; nil: given back
	admitted  bool        // guarded by admission.mu
	closed    bool        // guarded by admission.mu
	cancel    func()      // guarded by admission.mu; ends the context of whileOpen; nil: there is none

	once   sync.Once
	origin *origin // set by once; nil: it is Conn's

	// Owned by the reader.
	idle  bool    // Read reports errIdle rather than wait
	ahead []byte  // what wait has read and Read has not yet taken
	chunk *[]byte // where ahead lies, to be given back

	writing sync.Mutex // after a protocol error the library's reader writes, too
	eager   bool       // guarded by writing: Write keeps what the kernel does not take at once
	rest    []byte     // guarded by writing: what was kept
}

func newSocket(nc net.Conn, a *admission) *socket {
	s := &socket{Conn: nc, admission: a}
	if sc, ok := nc.(syscall.Conn); ok && rawIO {
		s.raw, _ = sc.SyscallConn() // without it there is the slower way
	}
	return s
}

// RemoteAddr is the client's address, as a proxy that has to tell it says. The
// first to ask is the goroutine that serves the connection; it waits for that.
func (s *socket) RemoteAddr() net.Addr {
	s.once.Do(s.findOrigin)
	if s.origin == nil {
		return s.Conn.RemoteAddr()
	}
	return s.origin.client
}

// origin is where a connection comes from, if that is not its socket's other end.
type origin struct {
	client net.Addr
	fault  error // why nothing is read
}

// findOrigin asks the proxy for whom it speaks, if it has to say so first, and
// counts the connection there. Where it says that in an HTTP header, the
// connection is counted when that has come.
func (s *socket) findOrigin() {
	from, proxies := listen.HostAddr(s.Conn.RemoteAddr()), s.admission.proxies
	if !proxies.Expects(from) {
		return
	}
	client, rest, err := listen.ReadPROXY(s.Conn)
	if err != nil {
		if !errors.Is(err, io.EOF) { // which is a proxy that only looks whether we are there
			s.admission.log.Warn("connection of a trusted proxy refused", "addr", from, "err", err)
		}
		s.turnAway(err)
		return
	}
	s.ahead = rest
	if !client.IsValid() {
		return
	}
	s.origin = &origin{client: net.TCPAddrFromAddrPort(client)}
	if !proxies.Trusts(client.Addr()) && !s.admission.settle(s, client.Addr()) {
		s.turnAway(errCrowded)
	}
}

func (s *socket) turnAway(why error) {
	s.origin = &origin{client: s.Conn.RemoteAddr(), fault: why}
	s.Close()
}

// errCrowded ends a proxy's connection for which there is no slot at the client's address.
var errCrowded = errors.New("too many connections from one address have not signed in")

// errIdle says that a Read would have to wait. TLS passes it on and stays usable,
// since it is temporary.
var errIdle net.Error = idleError{}

type idleError struct{}

func (idleError) Error() string   { return "nothing to read yet" }
func (idleError) Timeout() bool   { return true }
func (idleError) Temporary() bool { return true }

// chunks are where wait reads to. An idle connection holds none.
var chunks = sync.Pool{New: func() any { b := make([]byte, 4<<10); return &b }}

// Read reads on from what wait has found.
func (s *socket) Read(p []byte) (int, error) {
	if s.once.Do(s.findOrigin); s.origin != nil && s.origin.fault != nil {
		return 0, s.origin.fault
	}
	if len(s.ahead) > 0 {
		n := copy(p, s.ahead)
		if s.ahead = s.ahead[n:]; len(s.ahead) == 0 && s.chunk != nil {
			chunks.Put(s.chunk)
			s.chunk = nil
		}
		return n, nil
	}
	if s.idle {
		return 0, errIdle
	}
	return s.Conn.Read(p)
}

// wait blocks until there is something to Read.
func (s *socket) wait() (err error) {
	if s.raw == nil {
		var one [1]byte
		n, err := s.Conn.Read(one[:])
		s.ahead = one[:n]
		return readResult(n, err)
	}
	rawErr := s.raw.Read(func(fd uintptr) bool {
		chunk := chunks.Get().(*[]byte)
		n, readErr := readFD(fd, *chunk)
		if err = readResult(n, readErr); err == nil {
			s.chunk, s.ahead = chunk, (*chunk)[:n]
		} else {
			chunks.Put(chunk)
		}
		return err != syscall.EAGAIN
	})
	if rawErr != nil {
		return rawErr
	}
	return err
}

// readResult is what a read tells who only waits: an end, if nothing has come.
func readResult(n int, err error) error {
	switch {
	case n > 0:
		return nil // an error comes again
	case err == nil:
		return io.EOF
	}
	return err
}

// Write writes all of p. While the socket is eager it does not wait: what the
// kernel does not take is kept for [socket.flush].
func (s *socket) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if !s.eager {
		if err := s.flushLocked(); err != nil { // never into the middle of a frame
			return 0, err
		}
		return s.Conn.Write(p)
	}
	if len(s.rest) > 0 {
		s.rest = append(s.rest, p...)
		return len(p), nil
	}
	n, err := s.tryWrite(p)
	if err != nil {
		return n, err
	}
	s.rest = append(s.rest, p[n:]...)
	return len(p), nil
}

// hurry makes the socket eager, or no longer so, and reports whether something was
// kept.
func (s *socket) hurry(on bool) (kept bool) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.eager = on
	return len(s.rest) > 0
}

// flush writes what an eager Write has kept. It waits.
func (s *socket) flush() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.flushLocked()
}

func (s *socket) flushLocked() error {
	if len(s.rest) == 0 {
		return nil
	}
	_, err := s.Conn.Write(s.rest)
	s.rest = nil
	return err
}

// tryWrite writes as much as the kernel takes at once.
func (s *socket) tryWrite(p []byte) (n int, err error) {
	if s.raw == nil {
		return 0, nil
	}
	rawErr := s.raw.Write(func(fd uintptr) bool {
		n, err = writeFD(fd, p)
		return true
	})
	if rawErr != nil {
		return 0, rawErr
	}
	if err == syscall.EAGAIN {
		err = nil
	}
	return max(n, 0), err
}

// evict closes a connection that has not signed in, so that another one has its slot.
func (s *socket) evict(why limit.Reason) {
	s.admission.count(why.String())
	s.cut()
}

// Close closes the connection and gives back what it held. It never waits.
func (s *socket) Close() error {
	s.admission.leave(s)
	return s.cut()
}

// whileOpen returns a context that ends when the socket is closed: by then nobody waits for what is
// done under it. It is called once.
func (s *socket) whileOpen(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	s.admission.mu.Lock()
	defer s.admission.mu.Unlock()
	s.cancel = cancel
	if s.closed {
		cancel()
	}
	return ctx, cancel
}

func (s *socket) cut() error {
	s.admission.mu.Lock()
	s.closed = true
	cancel := s.cancel
	s.admission.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	return s.Conn.Close()
}
