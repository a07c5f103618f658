package turnload

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"time"
)

// link is a client's way to the server. A frame is a STUN message or ChannelData.
type link interface {
	// send sends frames, each as a packet or a write of its own.
	send(frames [][]byte) error

	// reliable says that nothing has to be sent again, and that ChannelData is padded (RFC 8656 section 12.5).
	reliable() bool

	// close closes the link and waits until it hands over no more frames.
	close() error
}

// datagrams is a link over UDP. Its socket is closed with the wire.
type datagrams struct{ *socket }

func (d datagrams) send(frames [][]byte) error { return d.sendTo(frames, netip.AddrPort{}) }
func (d datagrams) reliable() bool             { return false }
func (d datagrams) close() error               { return nil }

// stream is a link over TCP or TLS.
type stream struct {
	conn net.Conn
	done chan struct{} // closed when nothing is received any more
}

// newStream hands over the frames that come until the link is closed or lost: then requests get no answer, and
// packets are missing. They are valid during the call.
func newStream(conn net.Conn, handle func(frame []byte)) *stream {
	s := &stream{conn, make(chan struct{})}
	go func() {
		defer close(s.done)
		_ = s.serve(handle)
	}()
	return s
}

func (s *stream) reliable() bool { return true }

func (s *stream) close() error {
	err := s.conn.Close()
	<-s.done
	return err
}

// sendPatience bounds how long a connection may take no more data: then it is lost.
const sendPatience = 5 * time.Second

func (s *stream) send(frames [][]byte) error {
	s.conn.SetWriteDeadline(time.Now().Add(sendPatience))
	for _, frame := range frames {
		if _, err := s.conn.Write(frame); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) serve(handle func([]byte)) error {
	r := bufio.NewReaderSize(s.conn, 16<<10)
	var frame []byte
	for {
		head, err := r.Peek(4)
		if err != nil {
			return err
		}
		n := frameSize(head)
		if cap(frame) < n {
			frame = make([]byte, n)
		}
		if _, err := io.ReadFull(r, frame[:n]); err != nil {
			return err
		}
		handle(frame[:n])
	}
}

// frameSize is how long a frame is in a stream, by its first four bytes: at most 64 KiB and a header.
func frameSize(head []byte) int {
	n := int(binary.BigEndian.Uint16(head[2:]))
	if isChannelData(head) {
		return channelHead + pad(n)
	}
	return stunHead + n
}
