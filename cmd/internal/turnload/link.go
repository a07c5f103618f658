package turnload

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"time"
)

// link is a client's way to the server. A frame is a STUN message or ChannelData.
type link interface {
	// send sends frames, each as a packet or a write of its own.
	send(frames [][]byte) error

	// serve hands over the frames that come, until the link is closed or lost. They are valid during the call.
	serve(handle func(frame []byte)) error

	// reliable says that nothing has to be sent again, and that ChannelData is padded (RFC 8656 section 12.5).
	reliable() bool

	close() error
}

// sendPatience bounds how long a connection may take no more data: then it is lost.
const sendPatience = 5 * time.Second

// stream is a link over TCP or TLS.
type stream struct{ conn net.Conn }

func (s *stream) reliable() bool { return true }
func (s *stream) close() error   { return s.conn.Close() }

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
