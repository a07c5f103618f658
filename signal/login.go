package signal

import (
	"context"
	"errors"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/user"
)

// handleLogin authenticates the connection and joins the room. A refused login
// is answered as such and counts as a fault: that bounds guessing.
func (c *conn) handleLogin(ctx context.Context, ref string, m protocol.Login) error {
	if c.session != nil {
		return protocol.Error{Code: protocol.CodeAlreadyLoggedIn, Message: "this connection is signed in as " + c.session.name}
	}
	if m.Name == "" {
		return protocol.Error{Code: protocol.CodeBadMessage, Message: "name is missing"}
	}
	refusal := c.login(ctx, ref, m)
	if refusal == nil {
		return nil
	}
	c.send(ref, *refusal)
	c.countFault(refusal.Code)
	return nil
}

// login returns the refusal, or nil when the session has begun.
func (c *conn) login(ctx context.Context, ref string, m protocol.Login) *protocol.LoginReply {
	log := c.server.log.With("user", m.Name, "addr", c.ws.RemoteAddr().String(), "session", c.id)
	room := c.server.hub.room(m.Room)
	if room == nil {
		return refused(protocol.CodeForbidden, "there is no room "+m.Room)
	}
	if m.Token != "" || m.Resume.Secret != "" {
		return refused(protocol.CodeBadCredentials, "this server takes a name and a password")
	}
	switch err := c.server.cfg.Users.Authenticate(ctx, m.Name, m.Password); {
	case err == nil:
	case errors.Is(err, user.ErrBadCredentials):
		log.Info("login refused", "why", "bad credentials")
		return refused(protocol.CodeBadCredentials, "wrong user name or password")
	case errors.Is(err, user.ErrBusy):
		log.Warn("login refused", "why", "too many logins at once")
		reply := refused(protocol.CodeBusy, "the server is busy, try again in a moment")
		reply.RetryAfter = 1
		return reply
	default:
		log.Error("login failed", "err", err)
		return refused(protocol.CodeInternal, "internal error")
	}
	if c.isClosing() {
		return nil // it took too long: nobody is told any more
	}
	s := &session{conn: c, name: m.Name, room: room}
	if !c.server.hub.claim(s) {
		log.Info("login refused", "why", "name in use")
		return refused(protocol.CodeAlreadyLoggedIn, m.Name+" is signed in elsewhere")
	}
	c.begin(ref, s)
	log.Info("login")
	return nil
}

// begin makes the connection a session's. The reply is the first message with a
// number.
func (c *conn) begin(ref string, s *session) {
	c.session = s
	c.patience.Stop()
	c.patience = nil
	c.sock.admit()
	c.number()
	servers, expires := c.server.iceServers(s.name)
	c.server.hub.enter(s, ref, protocol.LoginReply{
		Success:     true,
		Name:        s.name,
		Room:        s.room.name,
		Permissions: everything,
		Session:     c.id,
		ICEServers:  servers,
		ICEExpires:  expires,
	})
}

// leave ends the connection's session, if it has one.
func (s *Server) leave(c *conn, code protocol.CloseCode) {
	if c.session == nil {
		return
	}
	c.session.room.leave(c.session, code)
	s.hub.release(c.session)
	s.log.Info("session ended", "user", c.session.name, "session", c.id, "why", code.String())
}

func (s *Server) iceServers(name string) ([]protocol.ICEServer, int64) {
	servers, expires := s.cfg.ICEServers(name)
	return servers, unixSeconds(expires)
}

func unixSeconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func refused(code protocol.Code, text string) *protocol.LoginReply {
	return &protocol.LoginReply{Code: code, Message: text}
}
