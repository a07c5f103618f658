package signal

import (
	"context"
	"errors"

	"github.com/sigctl/sigctl/pkg/audit"
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
		c.note(req.Message, err)
	} else if c.session == nil {
		err = c.noteStranger(err)
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
	if err := s.may(req); err != nil {
		return err
	}
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
	case protocol.Refresh:
		return s.refresh(ctx, req.ID, m)
	}
	return nil
}

// may says whether the session may send this now.
func (s *session) may(req protocol.Request) error {
	if req.From != "" && req.From != s.name {
		return protocol.Error{Code: protocol.CodeForbidden, Message: "you are " + s.name + ": nobody sends in another's name"}
	}
	if err := s.take(req.Message); err != nil {
		return err
	}
	return s.mayDescribe(req.Message)
}

var errUnauthenticated = protocol.Error{
	Code:    protocol.CodeUnauthenticated,
	Message: "You are not authenticated", // these very words are part of the plain protocol
}

// note writes down what a session was refused that it may not do. That somebody is
// not here is no refusal, unless they are in another room.
func (c *conn) note(m protocol.FromClient, err error) {
	var fault protocol.Error
	if err == nil || c.session == nil || errors.As(err, &fault) && !c.session.isRefusal(m, fault) {
		return
	}
	e := audit.Event{Kind: audit.Refused, Message: protocol.TypeOf(m)}
	if f, ok := m.(protocol.Forwarded); ok {
		e.Peer, _ = f.Party()
	}
	c.server.refused(err, c.session.event(e))
}

// noteStranger writes down what was wrong with a message before the login, and
// returns what is told: what exists, only to those who are logged in.
func (c *conn) noteStranger(err error) error {
	if isUnknownType(err) {
		return errUnauthenticated
	}
	c.server.refused(err, audit.Event{Kind: audit.Login, Address: c.client, Session: c.id})
	return err
}

func (s *session) isRefusal(m protocol.FromClient, fault protocol.Error) bool {
	switch fault.Code {
	case protocol.CodePeerOffline:
		return s.conn.server.hub.isElsewhere(fault.Name, s.room)
	case protocol.CodeAlreadyLoggedIn, protocol.CodeTooLarge, protocol.CodeBusy:
		return false
	}
	return true
}

func isUnknownType(err error) bool {
	var fault protocol.Error
	return errors.As(err, &fault) && fault.Code == protocol.CodeUnknownType
}

// refuse answers a message with its error.
func (c *conn) refuse(ref string, err error) {
	var fault protocol.Error
	if !errors.As(err, &fault) {
		fault = protocol.Error{Code: protocol.CodeInternal, Message: "internal error"}
	}
	c.send(ref, fault)
	c.countFault(fault.Code)
}
