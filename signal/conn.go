package signal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sigctl/sigctl/pkg/certs"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// conn is one WebSocket.
type conn struct {
	server *Server // set at construction
	ws     *websocket.Conn
	reader *bufio.Reader // of ws
	sock   *socket       // below ws and TLS: closing it never waits
	id     string        // of the session that a login makes
	client netip.Addr    // as proxies tell it
	cert   *certs.Client // whom the TLS client certificate identifies; nil: there is none
	slot   uint8         // in the registry
	eager  bool          // may be written to without waiting

	session *session // owned by the reader; nil before the login
	faults  *faults  // owned by the reader; nil before the first

	mu    sync.Mutex
	timer *time.Timer // guarded by mu; before the login its end, then the session's
	out   outbox      // guarded by mu
}

func newConn(s *Server, ws *websocket.Conn, reader *bufio.Reader, who visitor) *conn {
	c := &conn{
		server: s, ws: ws, reader: reader, sock: bottom(ws.NetConn()), id: newSessionID(),
		client: who.addr, cert: who.cert,
	}
	// TLS has locks of its own to wait for.
	c.eager = ws.NetConn() == net.Conn(c.sock) && c.sock.raw != nil
	// Those between two messages come to nextMessage, those inside one here.
	ws.SetPingHandler(func(payload string) error { c.answerPing([]byte(payload)); return nil })
	ws.SetCloseHandler(func(int, string) error { return nil }) // answered by lost
	ws.SetPongHandler(func(payload string) error { c.pong([]byte(payload)); return nil })
	return c
}

// serve owns the connection from the upgrade to the end.
func (c *conn) serve(ctx context.Context) {
	defer c.server.running.Done()
	ctx, cancel := c.sock.whileOpen(ctx)
	defer cancel()
	c.awaitLogin()
	defer c.end()
	c.send("", protocol.Hello{
		Message:  "Hello from server",
		Protocol: protocol.Subprotocol,
		Session:  c.id,
		Features: []string{"candidates", "ice", "peers"},
	})
	c.readLoop(ctx)
}

// end undoes all that the connection was: its session, its writer, its socket. A
// fault in handling one client's message ends that client alone.
func (c *conn) end() {
	if fault := recover(); fault != nil {
		c.server.log.Error("panic", "session", c.id, "fault", fault, "stack", string(debug.Stack()))
		c.shutdown(protocol.CloseInternal, "internal error")
	}
	code := c.abandon()
	c.server.leave(c, code)
	c.server.conns.remove(c, code)
}

// readLoop handles frames until the socket breaks. After a shutdown it goes on
// reading, and throws away, so that the close frame is not lost to a reset.
func (c *conn) readLoop(ctx context.Context) {
	for {
		if err := c.readMessage(ctx); err != nil {
			c.lost(err)
			return
		}
	}
}

func (c *conn) readMessage(ctx context.Context) error {
	if !c.isClosing() { // else what comes may be the rest of a message
		if err := c.nextMessage(); err != nil {
			return err
		}
	}
	kind, r, err := c.ws.NextReader()
	switch {
	case err != nil:
		return err
	case c.isClosing():
		return nil
	case kind == websocket.BinaryMessage:
		c.shutdown(protocol.CloseBinary, "messages are text")
		return nil
	}
	return c.readFrame(ctx, r)
}

// frames are read into buffers that only those who read at this moment hold:
// an idle connection has none.
var frames = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxExcess is by how many bytes a message of a session may exceed its limit. The session goes on
// then; beyond, it is closed.
const maxExcess = 3 * protocol.MaxFrame

// readFrame reads one message within its limit and handles it.
func (c *conn) readFrame(ctx context.Context, r io.Reader) error {
	buf := frames.Get().(*bytes.Buffer)
	defer frames.Put(buf)
	buf.Reset()
	limit, excess := int64(protocol.MaxLoginFrame), int64(0)
	if c.session != nil {
		limit, excess = protocol.MaxFrame, maxExcess
	}
	n, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		var more int64
		more, err = io.Copy(io.Discard, io.LimitReader(r, excess)) // else it would be taken for the next message
		n += more
	}
	switch {
	case err != nil:
		return err
	case n > limit+excess:
		if c.session == nil {
			c.noteStranger(protocol.Error{Code: protocol.CodeTooLarge, Message: "message is too large"})
		}
		c.shutdown(protocol.CloseTooLarge, "message is too large")
	default:
		c.receive(ctx, buf.Bytes())
	}
	return nil
}

// lost notes how the socket ended, unless we have ended it. A client's close frame
// is answered.
func (c *conn) lost(err error) {
	var closed *websocket.CloseError
	if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure { // no frame: the library's word for an end inside one
		code := protocol.CloseNormal
		if closed.Code == websocket.CloseGoingAway {
			code = protocol.CloseGoingAway
		}
		c.shutdown(code, "")
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.closing == 0 {
		c.out.closing, c.out.parted = protocol.CloseAbnormal, true
	}
	c.sock.Close()
}

// bottom is the accepted connection below TLS.
func bottom(nc net.Conn) *socket {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = t.NetConn()
	}
	return nc.(*socket) // as our listener makes them
}

// abandon waits for the writer, closes the socket and says how the connection
// ended.
func (c *conn) abandon() protocol.CloseCode {
	c.out.writer.Wait()
	c.sock.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.out.cut != nil {
		c.out.cut.Stop()
	}
	return c.out.closing
}
