package signal

import (
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// closeTimeout is how long a shutdown may take to the end of the socket. What is
// then unwritten is lost. Our writes have no time-out of their own: a client that
// takes nothing answers no ping either.
const closeTimeout = time.Second

// outbox is what waits to be written to a client. Its writer is started when
// there is something to write and ends when there is nothing left.
type outbox struct {
	queue    queue
	seq      uint64 // of the last message
	numbered bool   // messages carry seq: the login is done

	pong []byte // answer to the client's last ping; nil if none is due
	beat heartbeat

	closing protocol.CloseCode // 0 while open
	why     string             // text of the close frame
	cut     *time.Timer        // closes the socket when the farewell takes too long
	parted  bool               // the close frame was taken to be written

	writing bool
	writer  sync.WaitGroup
}

// send queues a message; ref is the id of the request that it answers, if any.
func (c *conn) send(ref string, m protocol.FromServer) {
	if frame := c.server.encode(ref, m); frame != nil {
		c.enqueue(frame)
	}
}

// encode returns the frame of m. Our own types always encode.
func (s *Server) encode(ref string, m protocol.FromServer) []byte {
	frame, err := protocol.EncodeServer(ref, m)
	if err != nil {
		s.log.Error("encode message", "err", err)
	}
	return frame
}

// enqueue queues one of the server's own messages; it takes the frame over. It never waits. A client
// that lets too many of them wait is closed, and told to connect again, rather than left without one.
func (c *conn) enqueue(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.closing != 0 {
		return
	}
	if int(c.out.queue.own)+len(frame) > c.server.cfg.MaxQueue {
		c.shutdownLocked(protocol.CloseSlowConsumer, "messages are not read fast enough")
		return
	}
	c.addLocked(message{frame: frame})
	c.wakeWriterLocked()
}

// carry queues a message that another user sent, or reports that there is no room for it: then the
// sender must be told. It takes the frame over and leaves the writing to wake, so that a caller may
// hold locks.
func (c *conn) carry(m message, p precedence) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.closing != 0 {
		return true // the sender will be told that this client left
	}
	if !c.out.queue.fits(m, p, c.server.cfg.MaxQueue) {
		return false
	}
	c.addLocked(m)
	return true
}

func (c *conn) addLocked(m message) {
	if c.out.numbered {
		c.out.seq++
		m.frame = protocol.AppendSeq(m.frame, c.out.seq)
	}
	c.out.queue.add(m)
}

// wake gets written what carry has queued. The caller must hold no lock: what the socket takes at
// once is written here, and needs no goroutine of its own.
func (c *conn) wake() {
	c.mu.Lock()
	if c.out.writing || c.out.closing != 0 || len(c.out.queue.messages) == 0 {
		c.mu.Unlock()
		return
	}
	if !c.eager {
		c.wakeWriterLocked()
		c.mu.Unlock()
		return
	}
	c.out.writing = true
	c.out.writer.Add(1)
	c.mu.Unlock()
	c.writeEagerly()
}

// number makes messages carry seq from the next one on, and pings be expected to
// be answered from the next one on.
func (c *conn) number() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.numbered, c.out.beat.sent = true, time.Time{}
}

// answerPing leaves the pong to the writer: the library's own answer would make
// the reader wait for a full socket.
func (c *conn) answerPing(payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.closing == 0 {
		c.out.pong = payload
		c.wakeWriterLocked()
	}
}

// shutdown closes the connection with a code; the first code counts. What is
// queued is still written, except to a client that does not read.
func (c *conn) shutdown(code protocol.CloseCode, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shutdownLocked(code, why)
}

func (c *conn) shutdownLocked(code protocol.CloseCode, why string) {
	if c.out.closing != 0 {
		return
	}
	c.out.closing, c.out.why = code, why
	if code == protocol.CloseSlowConsumer {
		c.out.queue = queue{}
	}
	// Bounds the farewell: what a client that does not read leaves unwritten,
	// and the wait for its close frame.
	c.out.cut = time.AfterFunc(closeTimeout, func() { c.sock.Close() })
	c.wakeWriterLocked()
}

func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.closing != 0
}

func (c *conn) wakeWriterLocked() {
	if c.out.writing {
		return
	}
	c.out.writing = true
	c.out.writer.Add(1)
	go c.writeLoop()
}

// writeLoop writes until there is nothing left.
func (c *conn) writeLoop() {
	defer c.out.writer.Done()
	if c.sock.flush() != nil {
		c.sock.Close() // wakes the reader
		return
	}
	for c.workLeft() {
		if !c.writeOnce() {
			return
		}
	}
}

// writeEagerly is a writer that does not wait. It leaves the rest, and what has
// come meanwhile, to one that does.
func (c *conn) writeEagerly() {
	c.sock.hurry(true)
	ok := c.writeOnce()
	if kept := c.sock.hurry(false); ok && (kept || c.workLeft()) {
		go c.writeLoop()
		return
	}
	c.out.writer.Done()
}

// workLeft reports whether there is more to write. If not, the writer has ended.
func (c *conn) workLeft() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.out
	o.writing = len(o.queue.messages) > 0 || o.pong != nil || o.beat.due || o.closing != 0 && !o.parted
	return o.writing
}

// writeOnce writes all that is due. It reports false when the socket has failed:
// writing then stays true, and there is no other writer.
func (c *conn) writeOnce() bool {
	if c.write(c.takeWork()) != nil {
		c.sock.Close() // wakes the reader
		return false
	}
	return true
}

// work is what a writer does before it looks again.
type work struct {
	messages   []message
	ping, pong []byte
	closing    protocol.CloseCode
	why        string
}

func (c *conn) takeWork() work {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.out
	w := work{messages: o.queue.messages, pong: o.pong}
	o.queue, o.pong = queue{}, nil
	if o.beat.due {
		w.ping, o.beat.due = pingPayload(o.beat.sent), false
	}
	if o.closing != 0 && !o.parted {
		w.closing, w.why, o.parted = o.closing, o.why, true
	}
	return w
}

func (c *conn) write(w work) error {
	for _, m := range w.messages {
		if err := c.ws.WriteMessage(websocket.TextMessage, m.frame); err != nil {
			return err
		}
	}
	if w.pong != nil {
		if err := c.ws.WriteMessage(websocket.PongMessage, w.pong); err != nil {
			return err
		}
	}
	if w.ping != nil {
		if err := c.ws.WriteMessage(websocket.PingMessage, w.ping); err != nil {
			return err
		}
	}
	if w.closing != 0 {
		return c.ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(int(w.closing), w.why))
	}
	return nil
}
