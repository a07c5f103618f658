package signal

import (
	"context"
	"errors"
	"time"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// handleLogin authenticates the connection and joins the room. A refused login
// is answered as such and counts as a fault: that bounds guessing.
func (c *conn) handleLogin(ctx context.Context, ref string, m protocol.Login) error {
	if c.session != nil {
		return protocol.Error{Code: protocol.CodeAlreadyLoggedIn, Message: "this connection is signed in as " + c.session.name}
	}
	began := time.Now()
	id, err := c.authenticate(ctx, m)
	if err == nil {
		err = c.login(ctx, ref, id, m.Room, began)
	}
	if err == nil || err == errGone || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	user := m.Name
	if user == "" {
		user = id.user
	}
	room := m.Room
	if id.claims != nil {
		room = id.claims.Room
	}
	fault := c.server.refused(err, audit.Event{
		Kind: audit.Login, User: user, Source: id.method, Address: c.client, Room: room, Session: c.id, Token: id.tokenID(),
	})
	c.send(ref, protocol.LoginReply{Code: fault.Code, Message: fault.Message, RetryAfter: fault.RetryAfter})
	c.countFault(fault.Code)
	return nil
}

// authenticate finds out who logs in. A client certificate binds its connection: on
// it nobody else can log in, whatever they know.
func (c *conn) authenticate(ctx context.Context, m protocol.Login) (id identity, err error) {
	if c.cert != nil && m.Name != "" && m.Name != c.cert.User {
		return id, visitor{cert: c.cert}.notTheirs()
	}
	switch {
	case m.Resume.Secret != "":
		return id, refuse(protocol.CodeBadCredentials, "this server resumes no sessions", "resume")
	case m.Token != "":
		id, err = c.server.byRoomToken(ctx, m.Token)
	case c.cert != nil && m.Password == "":
		id = byCertificate(c.cert)
	case m.Name == "" && c.cert == nil:
		return id, refuse(protocol.CodeBadMessage, "name is missing", "no name")
	case m.Name == "":
		id, err = c.server.byPassword(ctx, c.client, c.cert.User, m.Password)
	default:
		id, err = c.server.byPassword(ctx, c.client, m.Name, m.Password)
	}
	switch {
	case err != nil:
		return id, err
	case c.cert != nil && id.user != c.cert.User:
		return id, visitor{cert: c.cert}.notTheirs()
	case m.Name != "" && id.user != m.Name:
		return id, refuse(protocol.CodeForbidden, "the token is another user's", "token of user "+id.user)
	}
	return id, nil
}

// login begins the session of id in a room, or returns why not.
func (c *conn) login(ctx context.Context, ref string, id identity, room string, began time.Time) error {
	if err := c.server.takeSignIn(id.user); err != nil {
		return err
	}
	g, err := c.server.admit(ctx, id, room, nil)
	if err != nil {
		return err
	}
	if c.isClosing() || ctx.Err() != nil {
		return errGone
	}
	if err := c.server.spend(ctx, id); err != nil {
		return err
	}
	s := &session{
		conn: c, name: id.user, method: id.method, since: time.Now().Unix(),
		permissions: c.server.permissions.of(g.permissions), expires: unixSeconds(c.expiry(id)),
	}
	if err := c.server.hub.claim(s, g, began); err != nil {
		return err
	}
	if !c.server.admission.admit(c.sock) {
		c.server.hub.release(s)
		return errFull()
	}
	if err := s.recordLogin(id); err != nil {
		c.server.admission.withdraw(c.sock)
		c.server.hub.release(s)
		return err
	}
	c.server.admission.prove(c.sock)
	c.begin(ref, s)
	c.server.log.Info("login", "user", s.name, "addr", c.client, "session", c.id, "room", s.room.name, "by", s.method)
	return nil
}

// recordLogin writes down that id has signed in, and where.
func (s *session) recordLogin(id identity) error {
	for _, kind := range []audit.Kind{audit.Login, audit.Join} {
		if err := s.conn.server.record(s.event(audit.Event{Kind: kind, Token: id.tokenID()})); err != nil {
			return err
		}
	}
	return nil
}

// errFull refuses a login beyond Config.MaxSessions.
func errFull() *refusal {
	r := refuse(protocol.CodeBusy, "the server is full, try again later", "too many sessions")
	r.told.RetryAfter = loginRetry
	return r
}

// errGone is told to nobody: the connection closes.
var errGone = errors.New("connection is closing")

// spend uses up a room token, even if the login then fails: given back, it would
// tell its holder as often as they ask who is signed in, and which room is full.
func (s *Server) spend(ctx context.Context, id identity) error {
	if id.claims == nil {
		return nil
	}
	if err := s.cfg.Tokens.Spend(ctx, *id.claims); err != nil {
		return tokenRefusal(err)
	}
	return nil
}

// begin makes the connection a session's. The reply is the first message with a
// number.
func (c *conn) begin(ref string, s *session) {
	c.session = s
	c.number()
	c.server.hub.enter(s, ref, s.welcome())
	c.watchExpiry() // whose notice comes after the welcome
}

// welcome says who and where the session is, and what it may do.
func (s *session) welcome() protocol.LoginReply {
	servers, expires := s.conn.server.iceServers(s.name)
	return protocol.LoginReply{
		Success:            true,
		Name:               s.name,
		Room:               s.room.name,
		Permissions:        s.permissions,
		Session:            s.conn.id,
		Expires:            s.expires,
		ICEServers:         servers,
		ICEExpires:         expires,
		ICETransportPolicy: s.conn.server.cfg.Policy().Room(s.room.name).ICETransportPolicy,
	}
}

// leave ends the connection's session, if it has one.
func (s *Server) leave(c *conn, code protocol.CloseCode) {
	if c.session == nil {
		return
	}
	s.record(c.session.event(audit.Event{Kind: audit.SessionEnd, Why: code.String()}))
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
