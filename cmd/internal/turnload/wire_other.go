//go:build !linux

package turnload

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// wire is the UDP sockets of a run.
type wire struct {
	readers sync.WaitGroup

	mu      sync.Mutex
	sockets []*socket // guarded by mu
}

// socket is closed with its wire.
type socket struct {
	conn  *net.UDPConn
	local netip.AddrPort
}

// newWire makes a wire. It reads at once, packet by packet.
func newWire(time.Duration, bool) (*wire, error) { return new(wire), nil }

// close closes all sockets and waits until nothing is received any more.
func (w *wire) close() {
	w.mu.Lock()
	for _, s := range w.sockets {
		s.conn.Close()
	}
	w.mu.Unlock()
	w.readers.Wait()
}

// open opens a socket at an address, port 0 for any, and connects it if to is valid. What comes is handed over, and
// valid during the call.
func (w *wire) open(at, to netip.AddrPort, handle func([]byte)) (*socket, error) {
	conn, err := dialOrListen(at, to)
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(socketBuffer) // as much as the system grants
	_ = conn.SetWriteBuffer(socketBuffer)
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	s := &socket{conn, netip.AddrPortFrom(local.Addr().Unmap(), local.Port())}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sockets = append(w.sockets, s)
	w.readers.Go(func() { s.serve(handle) })
	return s, nil
}

// overruns is how many packets the sockets had no room for: that is not known.
func (w *wire) overruns() uint64 { return 0 }

func dialOrListen(at, to netip.AddrPort) (*net.UDPConn, error) {
	if to.IsValid() {
		return net.DialUDP("udp", net.UDPAddrFromAddrPort(at), net.UDPAddrFromAddrPort(to))
	}
	return net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
}

func (s *socket) serve(handle func([]byte)) {
	buffer := make([]byte, maxFrame)
	for {
		n, err := s.conn.Read(buffer)
		if err != nil {
			return
		}
		handle(buffer[:n])
	}
}

// sendTo sends to an address; none: to where the socket is connected.
func (s *socket) sendTo(frames [][]byte, to netip.AddrPort) error {
	for _, frame := range frames {
		var err error
		if to.IsValid() {
			_, err = s.conn.WriteToUDPAddrPort(frame, to)
		} else {
			_, err = s.conn.Write(frame)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
