package peer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// A TokenSource returns what a client signs in with in place of a password: a room
// token, or an access token, of the server or of an outside issuer that it trusts,
// with which the client asks the server for room tokens.
//
// A room token signs one session in, once. [Dial] asks for a token, and so does
// the client each time its session is about to end, from a goroutine of its own. A
// source that then has nothing but the room token of before is asked again until
// the session ends. It must return soon after the end of ctx; [Client.Close] waits
// for it. What it returns is never logged.
type TokenSource func(ctx context.Context) (string, error)

// StaticToken is the source of a token that was made elsewhere. With a room token
// the session ends when the token expires.
func StaticToken(token string) TokenSource {
	return func(context.Context) (string, error) { return token, nil }
}

// accessMargin is left to an access token that is used once more.
const accessMargin = 10 * time.Second

var errSpent = errors.New("the room token is spent: each signs in once")

// tokens gets the room tokens of one client. Dial uses it, then one renewal at a
// time.
type tokens struct {
	cfg    *Config
	target *url.URL
	access protocol.AccessToken // got with the password
	spent  string               // the room token that Config.Token gave last
}

// next returns an unspent room token.
func (t *tokens) next(ctx context.Context) (string, error) {
	server := newAPI(t.target, t.cfg)
	defer server.close()
	if t.cfg.Token == nil {
		return t.byPassword(ctx, server)
	}
	token, err := t.cfg.Token(ctx)
	if err == nil {
		err = checkToken(token)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("ask Config.Token: %w", err)
	case !isRoomToken(token):
		return server.join(ctx, token, t.cfg.Room)
	case token == t.spent:
		return "", errSpent
	}
	t.spent = token
	return token, nil
}

// byPassword joins with the access token at hand, or else with a new one.
func (t *tokens) byPassword(ctx context.Context, server *api) (string, error) {
	if time.Until(time.Unix(t.access.Expires, 0)) > accessMargin {
		token, err := server.join(ctx, t.access.Token, t.cfg.Room)
		if !notAuthenticated(err) {
			return token, err
		}
	}
	access, err := server.login(ctx, t.cfg.User, t.cfg.Password)
	if err != nil {
		return "", err
	}
	t.access = access
	return server.join(ctx, access.Token, t.cfg.Room)
}

// notAuthenticated reports that the server no longer takes a token.
func notAuthenticated(err error) bool {
	var refused *ServerError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Code {
	case protocol.CodeBadCredentials, protocol.CodeUnauthenticated, protocol.CodeTokenExpired:
		return true
	}
	return false
}

func checkToken(token string) error {
	switch {
	case token == "":
		return errors.New("the token is empty")
	case len(token) > protocol.MaxTokenLen:
		return fmt.Errorf("the token is longer than %d bytes", protocol.MaxTokenLen)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the token holds a character that is in no token, a line end perhaps")
	}
	return nil
}

// isRoomToken tells by a token's header (RFC 7515, section 4.1.9) what it is for;
// whether it is good the server says.
func isRoomToken(token string) bool {
	header, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		return false
	}
	var h struct {
		Typ string `json:"typ"`
	}
	return json.Unmarshal(text, &h) == nil && strings.EqualFold(h.Typ, "room+jwt")
}
