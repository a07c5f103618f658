package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// batchLen is how many packets one call of a handler gets at most, and how many a Queue holds.
	batchLen = 64
	// maxPayload is the longest UDP payload that IPv4 carries: 65 535 bytes less both headers.
	maxPayload = 65507
	// maxFaults bounds the errors in a row that Serve takes for news of earlier packets.
	maxFaults = 64
)

var errServed = errors.New("serve UDP socket: another Serve is running on it")

// Options of a socket; nil means the zero value.
type Options struct {
	// ReusePort lets several sockets share an address; the kernel spreads senders over them, each sender always to
	// the same one. On Linux only: elsewhere Listen fails with errors.ErrUnsupported.
	ReusePort bool
	// Buffer is how many bytes the kernel is asked to keep each way. It may grant fewer (net.core.rmem_max and
	// wmem_max on Linux). 0: the system's default.
	Buffer int
}

// Packet is a datagram that was received.
type Packet struct {
	From netip.AddrPort // never an IPv4-mapped IPv6 address
	Data []byte         // 0 to 65 527 bytes
}

// Socket is a bound UDP socket of one address family. All methods may be called by several goroutines.
type Socket struct {
	// Set by Listen.
	conn   *net.UDPConn
	local  netip.AddrPort
	is6    bool
	driver driver

	// segment is the longest packet that may leave in a segmented message, in bytes; 0: none may.
	segment atomic.Int32
	closed  atomic.Bool

	mu      sync.Mutex
	serving bool // guarded by mu
}

// driver moves packets between a socket and the kernel.
type driver interface {
	// serve hands what is received to handle until the socket is closed or broken. c may be nil.
	serve(c *Coalescer, handle func([]Packet)) error
	// send writes the packets of one lane and reports how many were dropped.
	send(l *load, ln *lane) (dropped int)
}

// Listen opens a socket at an address; port 0 means any that is free. A wildcard address stands for its own family
// alone: [::] receives no IPv4.
func Listen(at netip.AddrPort, o *Options) (*Socket, error) { return listen(at, o, newDriver) }

func listen(at netip.AddrPort, o *Options, newDriver func(*Socket) (driver, error)) (*Socket, error) {
	if o == nil {
		o = &Options{}
	}
	at = unmap(at)
	s, err := open(at, o)
	if err != nil {
		return nil, err // which names the address
	}
	if err := s.setUp(o, newDriver); err != nil {
		return nil, errors.Join(fmt.Errorf("listen at UDP %v: %w", at, err), s.conn.Close())
	}
	return s, nil
}

func open(at netip.AddrPort, o *Options) (*Socket, error) {
	network := "udp4"
	if at.Addr().Is6() {
		network = "udp6" // the net package sets IPV6_V6ONLY for it
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return setOptions(c, o) }}
	conn, err := config.ListenPacket(context.Background(), network, at.String())
	if err != nil {
		return nil, err
	}
	s := &Socket{conn: conn.(*net.UDPConn), is6: at.Addr().Is6()}
	s.local = unmap(s.conn.LocalAddr().(*net.UDPAddr).AddrPort())
	return s, nil
}

func (s *Socket) setUp(o *Options, newDriver func(*Socket) (driver, error)) error {
	if o.Buffer > 0 {
		if err := errors.Join(s.conn.SetReadBuffer(o.Buffer), s.conn.SetWriteBuffer(o.Buffer)); err != nil {
			return err
		}
	}
	var err error
	s.driver, err = newDriver(s)
	return err
}

// LocalAddr is the address that the socket is bound to, with the port that it got.
func (s *Socket) LocalAddr() netip.AddrPort { return s.local }

// Serve calls handle with what is received, in batches of 1 to 64 packets in the order of their arrival, until the
// socket is closed; it then returns net.ErrClosed. The packets and their bytes are handle's until it returns. One
// Serve runs at a time. What the network says about packets that were sent (port unreachable, say) does not end it.
func (s *Socket) Serve(handle func([]Packet)) error { return s.serve(nil, handle) }

func (s *Socket) serve(c *Coalescer, handle func([]Packet)) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	err := s.driver.serve(c, handle)
	if s.closed.Load() {
		return net.ErrClosed
	}
	return fmt.Errorf("serve UDP socket %v: %w", s.local, err)
}

func (s *Socket) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return net.ErrClosed
	}
	if s.serving {
		return errServed
	}
	s.serving = true
	return nil
}

func (s *Socket) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving = false
	if s.closed.Load() {
		_ = s.conn.Close()
	}
}

// Close ends Serve, without waiting for it: handle may call it. Nothing is sent afterwards. The port is free when
// Close and Serve have both returned. Further calls do nothing.
func (s *Socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Swap(true) {
		return nil
	}
	if s.serving {
		// The descriptor is in use, perhaps by handle, our caller; a deadline wakes the reader, which closes it.
		return s.conn.SetReadDeadline(time.Unix(1, 0))
	}
	return s.conn.Close()
}

// WriteTo sends one packet of at most 65 507 bytes. It may wait for room in the socket's send buffer.
func (s *Socket) WriteTo(p []byte, to netip.AddrPort) error {
	if s.closed.Load() {
		return net.ErrClosed
	}
	return s.write(p, unmap(to))
}

// write sends one packet with the net package. What the kernel then reports of an earlier one, it reports once.
func (s *Socket) write(p []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(p, to)
	if errors.Is(err, syscall.ECONNREFUSED) {
		_, err = s.conn.WriteToUDPAddrPort(p, to)
	}
	return err
}

// reaches reports whether an address, once unmapped, is of the socket's family.
func (s *Socket) reaches(to netip.AddrPort) bool {
	return to.IsValid() && to.Addr().Is6() == s.is6
}

func unmap(a netip.AddrPort) netip.AddrPort {
	if a.Addr().Is4In6() {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	return a
}
