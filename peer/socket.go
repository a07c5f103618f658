package peer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sigctl/sigctl/pkg/protocol"
)

const (
	dialTimeout  = 15 * time.Second // connect and sign in, unless the context ends sooner
	writeTimeout = 10 * time.Second // one frame, into a socket whose other end reads
	closeTimeout = time.Second      // for the server's half of the closing handshake
	readTimeout  = protocol.PingInterval + 2*protocol.PongTimeout
)

// socket is the WebSocket to the signaling server: one goroutine reads it,
// anybody writes.
type socket struct {
	conn    *websocket.Conn
	writeMu sync.Mutex // held for one write of at most writeTimeout
}

func dialSocket(ctx context.Context, target *url.URL, cfg *Config) (*socket, error) {
	dialer := websocket.Dialer{
		TLSClientConfig:  cfg.tlsConfig(target.Hostname()),
		HandshakeTimeout: dialTimeout,
		Subprotocols:     []string{protocol.Subprotocol},
		ReadBufferSize:   1 << 10,
		WriteBufferSize:  1 << 10,
	}
	conn, resp, err := dialer.DialContext(ctx, target.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", target.Redacted(), handshakeFault(err, resp))
	}
	conn.SetReadLimit(protocol.MaxFrame)
	s := &socket{conn: conn}
	conn.SetPingHandler(func(payload string) error {
		s.extend()
		err := conn.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(writeTimeout))
		if errors.Is(err, websocket.ErrCloseSent) {
			return nil
		}
		return err
	})
	s.extend()
	return s, nil
}

func handshakeFault(err error, resp *http.Response) error {
	if resp == nil || !errors.Is(err, websocket.ErrBadHandshake) {
		return err
	}
	return fmt.Errorf("the server answered %s instead of opening a WebSocket", resp.Status)
}

func (s *socket) extend() { s.conn.SetReadDeadline(time.Now().Add(readTimeout)) }

// send writes one message; id comes back as the reply's ref.
func (s *socket) send(id string, m protocol.FromClient) error {
	frame, err := protocol.EncodeClient(id, m)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	return s.conn.WriteMessage(websocket.TextMessage, frame)
}

// receive reads the next message that this version understands.
func (s *socket) receive() (protocol.Event, error) {
	for {
		kind, frame, err := s.conn.ReadMessage()
		if err != nil {
			return protocol.Event{}, socketFault(err)
		}
		s.extend()
		if kind != websocket.TextMessage {
			return protocol.Event{}, fmt.Errorf("%w: binary frame from the server", ErrLost)
		}
		ev, err := protocol.DecodeServer(frame)
		if errors.Is(err, protocol.ErrNotUTF8) {
			return protocol.Event{}, fmt.Errorf("%w: %w", ErrLost, err)
		}
		if err == nil {
			return ev, nil
		}
	}
}

// socketFault says in our terms why the connection ended.
func socketFault(err error) error {
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		code := protocol.CloseCode(closed.Code)
		switch code {
		case protocol.CloseAbnormal: // no close frame came: nobody said why
			return fmt.Errorf("%w: the server is gone", ErrLost)
		case protocol.CloseExpired:
			return fmt.Errorf("%w: %w", ErrLost, ErrExpired)
		case protocol.CloseKicked:
			return fmt.Errorf("%w: %w", ErrLost, ErrKicked)
		}
		return fmt.Errorf("%w: the server closed it: %s (%d)", ErrLost, code, closed.Code)
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// goodbye starts the closing handshake; the reader ends when the server answers,
// or after closeTimeout.
func (s *socket) goodbye() {
	now := time.Now()
	msg := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if s.conn.WriteControl(websocket.CloseMessage, msg, now.Add(closeTimeout)) != nil {
		s.conn.Close()
		return
	}
	s.conn.NetConn().SetReadDeadline(now.Add(closeTimeout))
}
