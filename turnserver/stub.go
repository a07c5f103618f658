package turnserver

import (
	"errors"
	"net"
	"time"
)

// libraryConn is control as the library's net.PacketConn. The library calls ReadFrom, LocalAddr and WriteTo from one
// goroutine, and works on a request in between.
type libraryConn control

func (l *libraryConn) ReadFrom(p []byte) (int, net.Addr, error) {
	if l.hand != nil {
		l.out <- l.hand.answer // doLocked waits for it
		l.hand = nil
	}
	select {
	case l.hand = <-l.in:
		return copy(p, l.hand.raw), l.hand.client, nil
	case <-l.closed:
		close(l.ended)
		return 0, nil, net.ErrClosed
	}
}

func (l *libraryConn) WriteTo(p []byte, _ net.Addr) (int, error) {
	l.hand.answer = append([]byte(nil), p...)
	return len(p), nil
}

func (l *libraryConn) LocalAddr() net.Addr            { return l.hand.life }
func (*libraryConn) Close() error                     { return nil }
func (*libraryConn) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (*libraryConn) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (*libraryConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// stub is a relayed address as the library sees it: nothing ever comes, and its end is that of the allocation.
type stub struct {
	control    *control
	allocation *allocation
}

// ReadFrom returns at the end of the allocation, when the request in hand is done. The library then closes what it has of
// the allocation, with no regard to a request about it: in what that has only half made it panics.
func (s *stub) ReadFrom([]byte) (int, net.Addr, error) {
	defer s.control.stubs.Done() // the library reads no more
	<-s.allocation.ended
	s.control.one.Lock()
	defer s.control.one.Unlock()
	return 0, nil, net.ErrClosed
}

// Close never fails: the library would leave other allocations open.
func (s *stub) Close() error {
	s.allocation.end()
	s.control.forget(s.allocation)
	return nil
}

func (s *stub) WriteTo([]byte, net.Addr) (int, error) { return 0, errors.ErrUnsupported }
func (s *stub) LocalAddr() net.Addr                   { return net.UDPAddrFromAddrPort(s.allocation.local) }
func (s *stub) SetDeadline(time.Time) error           { return errors.ErrUnsupported }
func (s *stub) SetReadDeadline(time.Time) error       { return errors.ErrUnsupported }
func (s *stub) SetWriteDeadline(time.Time) error      { return errors.ErrUnsupported }
