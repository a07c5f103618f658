package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// chunkSize is how many bytes are written at once: with TLS one record (RFC 8446 section 5.1).
const chunkSize = 16 << 10

// sizePrefix is how many bytes tell a record's length in a chunk of them.
const sizePrefix = 2

// chunk is a piece of what waits to be written: of a stream, or whole records, each behind its length.
type chunk struct {
	next *chunk
	n    int
	b    [chunkSize - 16]byte // chunk fills 16 KiB
}

// chunks are where queues lie. A connection with nothing to write holds none.
var chunks = sync.Pool{New: func() any { return new(chunk) }}

// maxRecord is the longest record.
const maxRecord = len(chunk{}.b) - sizePrefix

// outbox is what waits to be written to a client. Its writer is started when there is something to write and ends when
// there is nothing left.
type outbox struct {
	// set at construction
	nc        net.Conn
	records   bool // each message is a write of its own, as long as it fits
	datagrams bool // records that cannot be divided, and need no padding
	timeout   time.Duration
	failed    func(error) // called by the writer, if it fails
	write     func()      // (*outbox).loop; here it costs nothing to start it

	mu          sync.Mutex
	max         int // bytes
	first, last *chunk
	queued      int // bytes, those that are being written included
	closed      bool
	writing     bool
	writer      sync.WaitGroup
}

// bound changes how many bytes may wait. What waits already stays.
func (o *outbox) bound(bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.max = bytes
}

// strangersQueue is how many bytes of answers wait for who has no allocation.
const strangersQueue = 16 << 10

var padding [3]byte

func (o *outbox) add(head, body []byte) bool {
	size, pads := len(head)+len(body), 0
	if !o.datagrams {
		pads = pad(size) - size
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || size == 0 || !o.queueLocked(head, body, padding[:pads]) {
		return false
	}
	if !o.writing {
		o.writing = true
		o.writer.Add(1)
		go o.write()
	}
	return true
}

func (o *outbox) queueLocked(head, body, pads []byte) bool {
	size := len(head) + len(body) + len(pads)
	switch {
	case !o.records:
		if !o.takeLocked(size) {
			return false
		}
	case size <= maxRecord:
		if !o.beginLocked(size) {
			return false
		}
	default:
		return !o.datagrams && o.divideLocked(slices.Concat(head, body, pads))
	}
	o.appendLocked(head)
	o.appendLocked(body)
	o.appendLocked(pads)
	return true
}

// divideLocked queues a message that is longer than a record.
func (o *outbox) divideLocked(message []byte) bool {
	if len(message)+sizePrefix*(len(message)/maxRecord+1) > o.max-o.queued {
		return false
	}
	for piece := range slices.Chunk(message, maxRecord) {
		o.beginLocked(len(piece)) // there is room
		o.appendLocked(piece)
	}
	return true
}

// takeLocked takes room in the queue for n bytes, if there is.
func (o *outbox) takeLocked(n int) bool {
	if n > o.max-o.queued {
		return false
	}
	o.queued += n
	return true
}

// beginLocked begins a record, which is never divided, if there is room for it.
func (o *outbox) beginLocked(size int) bool {
	n := sizePrefix + size
	if !o.takeLocked(n) {
		return false
	}
	if o.last == nil || len(o.last.b)-o.last.n < n {
		o.growLocked()
	}
	var prefix [sizePrefix]byte
	binary.BigEndian.PutUint16(prefix[:], uint16(size))
	o.appendLocked(prefix[:])
	return true
}

func (o *outbox) appendLocked(p []byte) {
	for len(p) > 0 {
		if o.last == nil || o.last.n == len(o.last.b) {
			o.growLocked()
		}
		n := copy(o.last.b[o.last.n:], p)
		o.last.n += n
		p = p[n:]
	}
}

func (o *outbox) growLocked() {
	c := chunks.Get().(*chunk)
	if o.last == nil {
		o.first = c
	} else {
		o.last.next = c
	}
	o.last = c
}

// loop is the writer.
func (o *outbox) loop() {
	defer o.writer.Done()
	for c := o.next(nil); c != nil; c = o.next(c) {
		if err := o.writeChunk(c); err != nil {
			o.failed(o.explain(err)) // which closes the outbox: c was the last
		}
	}
}

// next takes the next chunk to write, nil if there is none: the writer ends. It takes back the one that was written.
func (o *outbox) next(written *chunk) *chunk {
	o.mu.Lock()
	defer o.mu.Unlock()
	if written != nil {
		o.freeLocked(written)
	}
	c := o.first
	if c == nil {
		o.writing = false
		return nil
	}
	if o.first = c.next; o.first == nil {
		o.last = nil
	}
	return c
}

func (o *outbox) freeLocked(c *chunk) {
	o.queued -= c.n
	c.next, c.n = nil, 0
	chunks.Put(c)
}

func (o *outbox) writeChunk(c *chunk) error {
	if !o.records {
		return o.writeOne(c.b[:c.n])
	}
	for b := c.b[:c.n]; len(b) > 0; {
		end := sizePrefix + int(binary.BigEndian.Uint16(b))
		if err := o.writeOne(b[sizePrefix:end]); err != nil {
			return err
		}
		b = b[end:]
	}
	return nil
}

func (o *outbox) writeOne(p []byte) error {
	o.nc.SetWriteDeadline(time.Now().Add(o.timeout)) // fails on closed connections, which Write tells
	_, err := o.nc.Write(p)
	return err
}

func (o *outbox) explain(err error) error {
	if isTimeout(err) {
		return refuse(SlowReader, "the client did not take what was written within %v", o.timeout)
	}
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	return fmt.Errorf("write: %w", err)
}

// close drops what waits, and all that comes.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for c := o.first; c != nil; c = o.first {
		o.first = c.next
		o.freeLocked(c)
	}
	o.last = nil
}
