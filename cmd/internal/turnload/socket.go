package turnload

import (
	"net"
	"net/netip"
)

// socketBuffer is asked for each way: what is measured is the server's loss, not ours.
const socketBuffer = 4 << 20

// socket is a UDP socket, connected or not. Packets leave one by one, as they come from a network: were they handed
// over as one large datagram (UDP_SEGMENT), a server could take them as one, which flatters those that can.
type socket struct{ conn *net.UDPConn }

// dialUDP returns a link over UDP.
func dialUDP(server netip.AddrPort) (*socket, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		return nil, err
	}
	return newSocket(conn), nil
}

func listenUDP(at netip.Addr) (*socket, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
	if err != nil {
		return nil, err
	}
	return newSocket(conn), nil
}

func newSocket(conn *net.UDPConn) *socket {
	conn.SetReadBuffer(socketBuffer) // as much as the system grants
	conn.SetWriteBuffer(socketBuffer)
	return &socket{conn}
}

func (s *socket) addr() netip.AddrPort {
	at := s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

func (s *socket) reliable() bool { return false }
func (s *socket) close() error   { return s.conn.Close() }

func (s *socket) send(frames [][]byte) error { return s.sendTo(frames, netip.AddrPort{}) }

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

func (s *socket) serve(handle func([]byte)) error {
	buffer := make([]byte, maxFrame)
	for {
		n, _, err := s.conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return err
		}
		handle(buffer[:n])
	}
}
