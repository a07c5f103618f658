package signal

import (
	"context"
	"errors"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// receive decodes a frame and handles it. A fault is answered and counted; the
// connection stays until there were too many.
func (c *conn) receive(ctx context.Context, frame []byte) {
	req, err := protocol.DecodeClient(frame)
	if errors.Is(err, protocol.ErrNotUTF8) {
		c.shutdown(protocol.CloseNotUTF8, "messages are UTF-8")
		return
	}
	if err == nil {
		err = c.handle(ctx, req)
	} else if c.session == nil && isUnknownType(err) {
		err = errUnauthenticated // what exists is told to those who are logged in
	}
	if err != nil {
		c.refuse(req.ID, err)
	}
}

// handle does what one message asks for. The error it returns is a
// protocol.Error, to be sent to the client.
func (c *conn) handle(ctx context.Context, req protocol.Request) error {
	if login, ok := req.Message.(protocol.Login); ok {
		return c.handleLogin(ctx, req.ID, login)
	}
	if c.session == nil {
		return errUnauthenticated
	}
	s := c.session
	switch m := req.Message.(type) {
	case protocol.Leave:
		if m.Name == "" {
			s.room.hangUp(s, m.Reason)
			return nil
		}
		return s.room.forward(s, m)
	case protocol.Forwarded:
		return s.room.forward(s, m)
	case protocol.Peers:
		s.room.watch(s, req.ID)
	case protocol.ICE:
		servers, expires := c.server.iceServers(s.name)
		c.send(req.ID, protocol.ICEServers{ICEServers: servers, ICEExpires: expires})
	default: // refresh, which needs tokens
		return protocol.UnknownType(protocol.TypeOf(m))
	}
	return nil
}

var errUnauthenticated = protocol.Error{
	Code:    protocol.CodeUnauthenticated,
	Message: "You are not authenticated", // these very words are part of the plain protocol
}

func isUnknownType(err error) bool {
	var fault protocol.Error
	return errors.As(err, &fault) && fault.Code == protocol.CodeUnknownType
}

// refuse answers a message with its error.
func (c *conn) refuse(ref string, err error) {
	var fault protocol.Error
	if !errors.As(err, &fault) {
		c.server.log.Error("handle message", "session", c.id, "err", err)
		fault = protocol.Error{Code: protocol.CodeInternal, Message: "internal error"}
	}
	c.send(ref, fault)
	c.countFault(fault.Code)
}
