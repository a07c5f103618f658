package signal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/token"
	"github.com/sigctl/sigctl/pkg/user"
)

// apiLogin gives an access token for a password, or for a client certificate.
func (s *Server) apiLogin(ctx context.Context, call *apiCall) (any, error) {
	var m protocol.LoginRequest
	if err := call.decode(&m); err != nil {
		return nil, err
	}
	if m.Name == "" && call.who.cert == nil || m.Name != "" && !protocol.ValidName(m.Name) {
		return nil, refuse(protocol.CodeBadMessage, "name is missing, or no name", "no name")
	}
	call.event.User, call.event.Source = m.Name, "password"
	id, err := s.credentials(ctx, call.who, m)
	if err != nil {
		return nil, err
	}
	call.event.Source = id.method
	call.event.User = id.user
	if err := s.takeSignIn(id.user); err != nil {
		return nil, err
	}
	if err := s.record(call.event); err != nil {
		return nil, err
	}
	text, c, err := s.issue(ctx, call.event, token.Claims{Kind: token.Access, User: id.user}, notAfter(token.MaxLifetime, id.expires))
	if err != nil {
		return nil, err
	}
	return protocol.AccessToken{Token: text, User: id.user, Expires: c.Expires.Unix()}, nil
}

// credentials checks a password, or does with the certificate.
func (s *Server) credentials(ctx context.Context, who visitor, m protocol.LoginRequest) (identity, error) {
	if who.cert == nil {
		return s.byPassword(ctx, who.addr, m.Name, m.Password)
	}
	if m.Name != "" && m.Name != who.cert.User {
		return identity{}, who.notTheirs()
	}
	if m.Password == "" {
		id := byCertificate(who.cert)
		return id, s.claim(ctx, id)
	}
	return s.byPassword(ctx, who.addr, who.cert.User, m.Password)
}

// apiJoin gives a room token.
func (s *Server) apiJoin(ctx context.Context, call *apiCall) (any, error) {
	m := protocol.JoinRequest{Room: call.URL.Query().Get("room")}
	if call.Method == "POST" {
		if err := call.decode(&m); err != nil {
			return nil, err
		}
	}
	if m.Room != "" && !protocol.ValidName(m.Room) {
		return nil, refuse(protocol.CodeBadMessage, "room must be 1 to 64 letters, digits or . _ @ + -", "bad room name")
	}
	call.event.Room = m.Room
	id, err := s.caller(ctx, call)
	if err != nil {
		return nil, err
	}
	g, err := s.admit(ctx, id, m.Room, m.Permissions)
	call.event.Room = cmp.Or(g.room, m.Room)
	if err != nil {
		return nil, err
	}
	claims := token.Claims{Kind: token.Room, User: id.user, Session: id.session, Room: g.room, Permissions: g.permissions}
	ttl := s.cfg.TokenTTL
	if call.who.cert != nil {
		ttl = notAfter(ttl, call.who.cert.Expires)
	}
	text, c, err := s.issue(ctx, call.event, claims, ttl)
	if err != nil {
		return nil, err
	}
	servers, expires := s.cfg.ICEServers(id.user)
	return protocol.RoomToken{
		Token: text, User: id.user, Room: g.room, Permissions: g.permissions,
		ICEServers: servers, ICETransportPolicy: g.rules.ICETransportPolicy,
		TTL: secondsUntil(c.Expires, expires), URL: s.cfg.URL(),
	}, nil
}

// caller is who asks for a room token.
func (s *Server) caller(ctx context.Context, call *apiCall) (id identity, err error) {
	text, err := call.bearer()
	if err != nil {
		return id, err
	}
	switch {
	case text != "":
		id, err = s.byBearer(ctx, text)
	case call.who.cert != nil:
		id = byCertificate(call.who.cert)
	default:
		err = refuse(protocol.CodeUnauthenticated, "send an access token as Authorization: Bearer TOKEN", "no token")
	}
	call.event.User, call.event.Source = id.user, id.method
	if err == nil && call.who.cert != nil && id.user != call.who.cert.User {
		err = call.who.notTheirs()
	}
	return id, err
}

// holder is whose room token the request carries.
func (s *Server) holder(ctx context.Context, call *apiCall) (id identity, err error) {
	text, err := call.bearer()
	if err != nil {
		return id, err
	}
	if text == "" {
		return id, refuse(protocol.CodeUnauthenticated, "send a room token as Authorization: Bearer TOKEN", "no token")
	}
	id, err = s.byRoomToken(ctx, text)
	call.event.User, call.event.Source, call.event.Token = id.user, id.method, id.tokenID()
	if err == nil && call.who.cert != nil && id.user != call.who.cert.User {
		err = call.who.notTheirs()
	}
	return id, err
}

// apiICE gives fresh ICE servers.
func (s *Server) apiICE(ctx context.Context, call *apiCall) (any, error) {
	id, err := s.holder(ctx, call)
	if err != nil {
		return nil, err
	}
	servers, expires := s.cfg.ICEServers(id.user)
	policy := s.cfg.Policy().Room(id.claims.Room).ICETransportPolicy
	return protocol.ICEReply{ICEServers: servers, ICETransportPolicy: policy, TTL: secondsUntil(expires)}, nil
}

// apiValidate says whether a login with the token would succeed now.
func (s *Server) apiValidate(ctx context.Context, call *apiCall) (any, error) {
	id, err := s.holder(ctx, call)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Tokens.Unspent(ctx, *id.claims); err != nil {
		return nil, tokenRefusal(err)
	}
	g, err := s.grant(id, "", nil)
	if err != nil {
		return nil, err
	}
	if err := s.hub.hasPlace(id.user, g); err != nil {
		return nil, err
	}
	return protocol.Validity{User: id.user, Room: g.room, Permissions: g.permissions, Expires: id.expires.Unix()}, nil
}

// issue makes a token and writes that down. What was issued to the user up to a kick
// is void, and this is issued after.
func (s *Server) issue(ctx context.Context, e audit.Event, c token.Claims, ttl time.Duration) (string, token.Claims, error) {
	owner, err := s.cfg.Names.Get(ctx, c.User)
	if err != nil {
		return "", c, fmt.Errorf("look up user: %w", err)
	}
	c.After = owner.ValidAfter()
	if ttl < time.Second {
		return "", c, refuse(protocol.CodeTokenExpired, "what you signed in with expires in this moment", "about to expire")
	}
	text, c, err := s.cfg.Tokens.Issue(c, ttl)
	if err != nil {
		return "", c, fmt.Errorf("issue token: %w", err)
	}
	e.Kind, e.User, e.Token, e.Room = audit.TokenIssued, c.User, c.ID, c.Room
	return text, c, s.record(e)
}

// IssueRoomToken gives a room token to whoever runs the server: for a name that it
// may bring into being, by no rule of the policy.
func (s *Server) IssueRoomToken(ctx context.Context, name, room string, permissions []string, ttl time.Duration) (string, token.Claims, error) {
	switch {
	case !protocol.ValidName(room):
		return "", token.Claims{}, fmt.Errorf("%q is not the name of a room", printable(room))
	case !slices.Contains(permissions, protocol.PermJoin):
		return "", token.Claims{}, errors.New("a room token needs the permission join")
	case len(s.permissions.of(permissions)) != len(permissions):
		return "", token.Claims{}, errors.New("the permissions are join, data, publish and subscribe, each once")
	case ttl < time.Second || ttl > token.MaxLifetime:
		return "", token.Claims{}, fmt.Errorf("a token lives 1s to %v, not %v", token.MaxLifetime, ttl)
	}
	_, err := s.cfg.Names.Get(ctx, name)
	if errors.Is(err, user.ErrNotFound) {
		_, err = s.cfg.Names.Claim(ctx, name, user.SourceToken)
	}
	if err != nil {
		return "", token.Claims{}, err
	}
	return s.issue(ctx, audit.Event{Actor: "admin"}, token.Claims{Kind: token.Room, User: name, Room: room, Permissions: permissions}, ttl)
}

// notAfter shortens a lifetime that would go beyond an end.
func notAfter(ttl time.Duration, end time.Time) time.Duration {
	if end.IsZero() {
		return ttl
	}
	return min(ttl, time.Until(end))
}

// secondsUntil the first of several ends that are not zero.
func secondsUntil(ends ...time.Time) int {
	first := 0
	for _, end := range ends {
		if left := int(time.Until(end) / time.Second); !end.IsZero() && (first == 0 || left < first) {
			first = max(left, 1)
		}
	}
	return first
}
