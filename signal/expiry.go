package signal

import (
	"context"
	"time"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// awaitLogin starts the timer of a connection on which nobody has logged in.
func (c *conn) awaitLogin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(protocol.LoginTimeout, func() {
		c.shutdown(protocol.CloseNotAuthenticated, "no login in time")
	})
}

// watchExpiry makes the timer that of the session, if that ends by itself.
func (c *conn) watchExpiry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil { // else nobody waits: the session had no end
		c.timer.Stop()
		c.timer = nil
	}
	if expires := c.session.expires; expires != 0 {
		c.timer = time.AfterFunc(time.Until(time.Unix(expires, 0))-protocol.ExpiryNotice, c.expiryDue)
	}
}

// expiryDue warns the client of its session's end, and ends it when that has come.
func (c *conn) expiryDue() {
	c.mu.Lock()
	s := c.session
	if s == nil || c.timer == nil {
		c.mu.Unlock()
		return
	}
	expires, left := s.expires, time.Until(time.Unix(s.expires, 0))
	warn := false
	switch {
	case left <= 0:
		c.shutdownLocked(protocol.CloseExpired, "the session has expired")
	case left <= protocol.ExpiryNotice:
		warn, s.warned = !s.warned, true
		c.timer.Reset(left)
	default: // refreshed meanwhile
		c.timer.Reset(left - protocol.ExpiryNotice)
	}
	c.mu.Unlock()
	if warn {
		c.send("", protocol.Expiring{Expires: expires})
	}
}

// refresh lets the session go on with a new room token, whose permissions replace
// the old ones.
func (s *session) refresh(ctx context.Context, ref string, m protocol.Refresh) error {
	c := s.conn
	id, err := c.server.byRoomToken(ctx, m.Token)
	switch {
	case err != nil:
		return err
	case id.user != s.name:
		return refuse(protocol.CodeForbidden, "the token is another user's", "token of user "+id.user)
	case id.claims.Room != s.room.name:
		return refuse(protocol.CodeForbidden, "the token is for another room", "token of room "+id.claims.Room)
	}
	if err := c.server.spend(ctx, id); err != nil {
		return err
	}
	if err := c.server.record(s.event(audit.Event{Kind: audit.Login, Message: "refresh", Token: id.tokenID()})); err != nil {
		return err
	}
	c.mu.Lock()
	s.permissions, s.expires, s.warned = c.server.permissions.of(id.claims.Permissions), unixSeconds(c.expiry(id)), false
	c.mu.Unlock()
	c.send(ref, s.welcome())
	c.watchExpiry()
	return nil
}

// expiry is when a session of that identity ends: with its token, and no later than
// the certificate of its connection.
func (c *conn) expiry(id identity) time.Time {
	if c.cert == nil || !id.expires.IsZero() && id.expires.Before(c.cert.Expires) {
		return id.expires
	}
	return c.cert.Expires
}
