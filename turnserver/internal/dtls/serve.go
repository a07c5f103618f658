package dtls

import "github.com/sigctl/sigctl/pkg/udp"

// Serve takes what comes to a socket until the socket is closed; it then returns net.ErrClosed. All answers of a session
// leave from the socket to which its hello came.
func (l *Listener) Serve(s *udp.Socket) error {
	return s.Serve(func(batch []udp.Packet) {
		for _, p := range batch {
			l.receive(s, p.From, p.Data)
		}
	})
}
