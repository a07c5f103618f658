package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/pion/webrtc/v4"
)

const (
	maxWaitingStreams = 16        // opened by the other side, not yet taken by AcceptStream
	streamChunk       = 64 << 10  // bytes of one message; every WebRTC stack takes as much
	maxStreamMessage  = 256 << 10 // bytes of one message of the other side
)

// Stream is a reliable byte stream between the two ends of a call. The ends of
// Write calls carry no meaning. Read and Write may be called at the same time.
type Stream struct {
	link  *link
	ch    *channel
	label string
	close sync.Once

	reading sync.Mutex
	rest    []byte // of a message that was larger than the reader's buffer
}

// Open opens a stream that the other side gets from AcceptStream. label says what
// it is for: 1 to 256 bytes of UTF-8, neither "control" nor "chat".
func (c *Call) Open(ctx context.Context, label string) (*Stream, error) {
	if err := checkLabel(label); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	if err := c.Err(); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	dc, err := c.link.pc.CreateDataChannel(label, nil)
	if err != nil {
		return nil, fmt.Errorf("open: %w", c.why(err))
	}
	opened := make(chan *channel, 1)
	c.link.whenOpen(dc, func(ch *channel) { opened <- ch })
	select {
	case ch := <-opened:
		return &Stream{link: c.link, ch: ch, label: label}, nil
	case <-c.ctx.Done():
		return nil, fmt.Errorf("open: %w", c.Err())
	case <-ctx.Done():
		dc.Close()
		return nil, fmt.Errorf("open: %w", ctx.Err())
	}
}

// AcceptStream returns the next stream that the other side opened. At most 16 wait
// to be taken, and 64 are open at a time; what goes beyond is closed at once.
func (c *Call) AcceptStream(ctx context.Context) (*Stream, error) {
	select {
	case s := <-c.streams:
		return s, nil
	case <-c.ctx.Done():
		return nil, c.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func checkLabel(label string) error {
	switch {
	case label == "" || len(label) > maxLabel || !utf8.ValidString(label):
		return fmt.Errorf("a label is 1 to %d bytes of UTF-8", maxLabel)
	case label == labelControl || label == labelChat:
		return fmt.Errorf("the label %q is taken", label)
	}
	return nil
}

// offerStream hands a channel of the other side to AcceptStream.
func (l *link) offerStream(ch *channel) {
	s := &Stream{link: l, ch: ch, label: ch.dc.Label()}
	reliable := ch.dc.Ordered() && ch.dc.MaxRetransmits() == nil && ch.dc.MaxPacketLifeTime() == nil
	if l.remoteStreams.Add(1) > maxRemoteStreams || !reliable || checkLabel(s.label) != nil {
		s.Close()
		return
	}
	select {
	case l.call.streams <- s:
	default:
		s.Close()
	}
}

// Label returns what the stream is for.
func (s *Stream) Label() string { return s.label }

// Read returns what has arrived. It returns [io.EOF] when the other side closed
// the stream, and the reason when the call ended.
func (s *Stream) Read(p []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	for len(s.rest) == 0 {
		if len(p) == 0 {
			return 0, nil
		}
		n, err := s.readMessage(p)
		if err != nil || n > 0 {
			return n, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// readMessage reads a message into p, or into rest if it is larger. Both stay
// empty for an empty message.
func (s *Stream) readMessage(p []byte) (int, error) {
	n, _, err := s.ch.raw.ReadDataChannel(p)
	for size := streamChunk; errors.Is(err, io.ErrShortBuffer) && size <= maxStreamMessage; size *= 2 {
		buf := make([]byte, size) // pion does not tell how much it takes
		if n, _, err = s.ch.raw.ReadDataChannel(buf); err == nil {
			s.rest = buf[:n]
			return 0, nil
		}
	}
	if err != nil {
		return 0, s.ended(err)
	}
	return n, nil
}

// ended tells the other side's close from the end of the call, which pion reports
// alike.
func (s *Stream) ended(err error) error {
	if s.link.call.ctx.Err() != nil {
		return s.link.call.Err()
	}
	if errors.Is(err, io.EOF) && s.link.pc.ConnectionState() != webrtc.PeerConnectionStateConnected {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Write sends p. It waits while SCTP is behind.
func (s *Stream) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		n, err := s.ch.raw.WriteDataChannel(p[:min(len(p), streamChunk)], false)
		written += n
		if err != nil {
			return written, s.link.call.why(err)
		}
		p = p[n:]
	}
	return written, nil
}

// Close closes the stream in both directions; what was written still arrives.
func (s *Stream) Close() error {
	s.close.Do(func() {
		s.ch.raw.Close()
		s.ch.raw.SetReadDeadline(time.Unix(1, 0)) // wakes a Read
		if s.ch.remote {
			s.link.remoteStreams.Add(-1)
		}
	})
	return nil
}
