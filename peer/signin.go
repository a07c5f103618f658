package peer

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// credentials returns what the client signs in with: a room token, or nothing but
// the name beside a client certificate, or the password where the server gives no
// tokens.
func (t *tokens) credentials(ctx context.Context) (protocol.Login, error) {
	m := protocol.Login{Name: t.cfg.User, Room: t.cfg.Room}
	if t.cfg.Token == nil && t.cfg.Password == "" && t.cfg.hasCertificate() {
		return m, nil
	}
	var err error
	m.Token, err = t.next(ctx)
	if t.cfg.Token == nil && errors.Is(err, errNoAPI) {
		m.Password, err = t.cfg.Password, nil
	}
	return m, err
}

// login waits for the server's hello, signs in and returns the server's answer.
func login(ctx context.Context, s *socket, m protocol.Login) (protocol.LoginReply, error) {
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	defer stop()
	sent := false
	for {
		ev, err := s.receive()
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return protocol.LoginReply{}, fmt.Errorf("sign in: %w", err)
		}
		switch reply := ev.Message.(type) {
		case protocol.Hello:
			if sent {
				continue
			}
			sent = true
			if err := s.send("login", m); err != nil {
				return protocol.LoginReply{}, fmt.Errorf("sign in: %w", err)
			}
		case protocol.LoginReply:
			return signedIn(reply, m)
		case protocol.Error:
			return protocol.LoginReply{}, fmt.Errorf("%w: %w", ErrAuth, serverError(reply))
		}
	}
}

// signedIn checks the answer to a login and fills in what a plain server, which has
// one room, does not say.
func signedIn(reply protocol.LoginReply, asked protocol.Login) (protocol.LoginReply, error) {
	if !reply.Success {
		return reply, fmt.Errorf("%w: %w", ErrAuth, loginFault(reply))
	}
	reply.Name = cmp.Or(reply.Name, asked.Name)
	reply.Room = cmp.Or(reply.Room, protocol.Lobby)
	switch {
	case asked.Name != "" && reply.Name != asked.Name, !protocol.ValidName(reply.Name):
		return reply, fmt.Errorf("%w: the server took us for %q", ErrAuth, printable(reply.Name))
	case asked.Room != "" && reply.Room != asked.Room, !protocol.ValidName(reply.Room):
		return reply, fmt.Errorf("%w: the server put us into room %q", ErrAuth, printable(reply.Room))
	}
	return reply, nil
}

func loginFault(m protocol.LoginReply) error {
	return &ServerError{Code: m.Code, Message: m.Message, RetryAfter: m.RetryAfter}
}
