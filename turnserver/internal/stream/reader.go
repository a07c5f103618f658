package stream

import (
	"io"
	"sync"
	"time"
)

// Sizes of read buffers, in bytes.
const (
	idleBuffer = 4 << 10
	bigBuffer  = 72 << 10 // holds every message
	datagram   = 8 << 10  // pion/dtls reads no longer ones
)

var _ [bigBuffer - maxFrame]byte

// shrinkAfter is how long an idle connection keeps a big buffer.
const shrinkAfter = time.Second

// maxEmptyReads is how many reads in a row may return nothing, without an error.
const maxEmptyReads = 100

var bigBuffers = sync.Pool{New: func() any { return new([bigBuffer]byte) }}

// reader holds what was read and not yet returned: buf[r:w]. It is owned by the goroutine that reads.
type reader struct {
	buf   []byte
	r, w  int
	small []byte           // buf while it is idle
	big   *[bigBuffer]byte // buf while there is much to read; nil: buf is small
	full  bool             // the last Read filled all that was free
	due   time.Time        // when the message that buf[r:w] begins with must be whole; zero: none has begun
	err   error            // final
}

func newReader(size int) reader {
	small := make([]byte, size)
	return reader{buf: small, small: small}
}

// ReadMessage returns the next message: STUN, or ChannelData with its header and without padding. It is valid until
// the next call. Errors are final: io.EOF if the client has ended the connection between two messages, one that says
// what the client did wrong, net.ErrClosed after Close. Only one goroutine may call it.
func (c *Conn) ReadMessage() ([]byte, error) {
	if c.in.err != nil {
		return nil, c.in.err
	}
	next := c.nextInStream
	if c.datagrams {
		next = c.nextDatagram
	}
	message, err := next()
	if err != nil {
		c.in.err = c.fail(err)
		c.in.drop()
		return nil, c.in.err
	}
	return message, nil
}

// Buffered reports whether ReadMessage has read a further message already: it will return that at once, and what it
// returned before stays valid until it has to read. Only the goroutine that calls ReadMessage may call it.
func (c *Conn) Buffered() bool {
	if c.datagrams || c.in.err != nil {
		return false
	}
	size, err := c.size(c.in.buf[c.in.r:c.in.w])
	return err == nil && size > 0 && c.in.w-c.in.r >= pad(size)
}

func (c *Conn) nextInStream() ([]byte, error) {
	for {
		size, err := c.size(c.in.buf[c.in.r:c.in.w])
		if err != nil {
			return nil, err
		}
		whole := pad(size)
		if begin := c.in.r; size > 0 && c.in.w-begin >= whole {
			c.in.r += whole
			c.in.due = time.Time{}
			return c.in.buf[begin : begin+size : begin+size], nil
		}
		c.in.makeRoom(whole, c.deadline.isKept)
		if err := c.read(); err != nil {
			return nil, err
		}
	}
}

// nextDatagram reads one message. Padding is not needed there, and allowed.
func (c *Conn) nextDatagram() ([]byte, error) {
	c.in.r, c.in.w = 0, 0
	if err := c.read(); err != nil {
		return nil, err
	}
	b := c.in.buf[:c.in.w]
	size, err := c.size(b)
	switch {
	case err != nil:
		return nil, err
	case size == 0 || len(b) != size && len(b) != pad(size):
		return nil, refuse(BadMessage, "a datagram of %d bytes holds a message of %d", len(b), size)
	}
	return b[:size:size], nil
}

// size is frameSize within the limit.
func (c *Conn) size(b []byte) (int, error) {
	size, err := frameSize(b)
	if size > c.acceptor.limits.MaxMessage && !c.deadline.isKept() {
		return 0, refuse(BadMessage, "a message has %d bytes, at most %d are taken before there is an allocation",
			size, c.acceptor.limits.MaxMessage)
	}
	return size, err
}

// read reads something into the buffer, which has room.
func (c *Conn) read() error {
	in := &c.in
	if in.w > in.r && in.due.IsZero() {
		in.due = time.Now().Add(c.acceptor.limits.FrameTimeout)
	}
	for empty := 0; empty < maxEmptyReads; {
		by := in.due
		if in.big != nil && in.r == in.w {
			by = time.Now().Add(shrinkAfter)
		}
		c.deadline.arm(by)
		n, err := c.nc.Read(in.buf[in.w:])
		in.w += n
		in.full = in.w == len(in.buf)
		switch {
		case n > 0:
			return nil // an error comes again
		case err == io.EOF && in.w > in.r:
			return io.ErrUnexpectedEOF
		case err != nil && !isTimeout(err):
			return err
		case err != nil:
			if err := c.overdue(); err != nil {
				return err
			}
			if in.r == in.w {
				in.release()
			}
		case c.datagrams:
			return nil // an empty one
		default:
			empty++
		}
	}
	return io.ErrNoProgress
}

// overdue says what should have come before now, if anything.
func (c *Conn) overdue() error {
	switch {
	case c.deadline.passed():
		return refuse(NoAllocation, "there is no allocation after %v", c.acceptor.limits.LoginTimeout)
	case !c.in.due.IsZero() && !time.Now().Before(c.in.due):
		return refuse(SlowMessage, "a message of which %d bytes came was not complete within %v",
			c.in.w-c.in.r, c.acceptor.limits.FrameTimeout)
	}
	return nil
}

// makeRoom lets more be read, of a message of size bytes if that is known. Busy connections of clients with an
// allocation get a big buffer; strangers only if MaxMessage needs it.
func (in *reader) makeRoom(size int, kept func() bool) {
	switch {
	case in.big == nil && (size > len(in.buf) || in.full && kept()):
		in.big = bigBuffers.Get().(*[bigBuffer]byte)
		in.moveTo(in.big[:])
	case in.big != nil && size <= len(in.small) && in.w <= len(in.small): // the last Read brought little
		in.moveTo(in.small)
		bigBuffers.Put(in.big)
		in.big = nil
	case in.r > 0: // else there is room, and who sends byte by byte makes nobody copy
		in.moveTo(in.buf)
	}
	in.full = false
}

// moveTo moves what was not yet returned to the front of buf.
func (in *reader) moveTo(buf []byte) {
	in.w = copy(buf, in.buf[in.r:in.w])
	in.r, in.buf = 0, buf
}

// drop forgets the buffer. It is not for others: what Buffered has kept valid may still be in use.
func (in *reader) drop() {
	in.big, in.buf, in.r, in.w = nil, nil, 0, 0
}

// release gives a big buffer back, with what is in it.
func (in *reader) release() {
	if in.big != nil {
		bigBuffers.Put(in.big)
	}
	in.big, in.buf = nil, in.small
	in.r, in.w, in.full = 0, 0, false
}
