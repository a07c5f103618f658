package signal

import (
	"net"
	"net/netip"
	"sync"
)

// socket is an accepted connection, below TLS and WebSocket. It is counted as
// pending until it is admitted or closed, whichever is first.
//
// It lets the reader of an idle connection wait at the bottom of its stack:
// [socket.Read] inside TLS and the WebSocket library would hold on to 8 KB of
// stack, most of what such a connection costs, where [socket.wait] lets the
// garbage collector have half of them back.
type socket struct {
	net.Conn
	admission *admission
	from      netip.Prefix
	leave     sync.Once

	// Owned by the reader.
	idle  bool    // Read reports errIdle rather than wait
	ahead bool    // first was read and not yet taken
	first [1]byte // where wait reads
}

// errIdle says that a Read would have to wait. TLS passes it on and stays usable,
// since it is temporary.
var errIdle net.Error = idleError{}

type idleError struct{}

func (idleError) Error() string   { return "nothing to read yet" }
func (idleError) Timeout() bool   { return true }
func (idleError) Temporary() bool { return true }

// Read reads on from what wait has found.
func (s *socket) Read(p []byte) (int, error) {
	switch {
	case len(p) == 0:
		return 0, nil
	case s.ahead:
		p[0], s.ahead = s.first[0], false
		return 1, nil
	case s.idle:
		return 0, errIdle
	}
	return s.Conn.Read(p)
}

// wait blocks until there is something to Read.
func (s *socket) wait() error {
	n, err := s.Conn.Read(s.first[:])
	s.ahead = n > 0
	if s.ahead {
		return nil
	}
	return err
}

// admit ends the counting: the connection has logged in.
func (s *socket) admit() { s.leave.Do(func() { s.admission.leave(s.from) }) }

// Close ends the counting and the connection. It never waits.
func (s *socket) Close() error {
	s.admit()
	return s.Conn.Close()
}
