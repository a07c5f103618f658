package peer

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// fakeAPI is the HTTP API of a fakeServer: everybody whose password is "password"
// gets an access token; who bears one, or "outside:NAME", gets room tokens.
type fakeAPI struct {
	// instead, if it returns true, answers a request.
	instead func(w http.ResponseWriter, r *http.Request) bool

	mu       sync.Mutex
	last     int
	access   map[string]string // token to user
	unspent  map[string]fakeToken
	requests []string // their paths
	secrets  []string // all tokens
}

type fakeToken struct{ user, room string }

func newFakeAPI() *fakeAPI {
	return &fakeAPI{access: map[string]string{}, unspent: map[string]fakeToken{}}
}

func (a *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, r.Method+" "+r.URL.String())
	switch {
	case a.instead != nil && a.instead(w, r):
	case r.URL.Path == protocol.PathLogin:
		a.login(w, r)
	case r.URL.Path == protocol.PathJoin:
		a.join(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (a *fakeAPI) login(w http.ResponseWriter, r *http.Request) {
	var m protocol.LoginRequest
	if json.NewDecoder(r.Body).Decode(&m) != nil || m.Password != "password" {
		refuseHTTP(w, http.StatusUnauthorized, protocol.Error{Code: protocol.CodeBadCredentials, Message: "wrong user name or password"})
		return
	}
	token := a.newToken("at+jwt")
	a.access[token] = m.Name
	json.NewEncoder(w).Encode(protocol.AccessToken{Token: token, User: m.Name, Expires: time.Now().Add(15 * time.Minute).Unix()})
}

func (a *fakeAPI) join(w http.ResponseWriter, r *http.Request) {
	var m protocol.JoinRequest
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	user, ok := a.access[bearer]
	if !ok {
		user, ok = strings.CutPrefix(bearer, "outside:")
	}
	if json.NewDecoder(r.Body).Decode(&m) != nil || !ok {
		refuseHTTP(w, http.StatusUnauthorized, protocol.Error{Code: protocol.CodeTokenExpired, Message: "the token has expired"})
		return
	}
	token := a.newToken("room+jwt")
	a.unspent[token] = fakeToken{user, m.Room}
	json.NewEncoder(w).Encode(protocol.RoomToken{Token: token, User: user, Room: m.Room})
}

func refuseHTTP(w http.ResponseWriter, status int, m protocol.Error) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(m)
}

func (a *fakeAPI) newToken(typ string) string {
	a.last++
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","typ":"` + typ + `"}`))
	token := header + ".claims." + strconv.Itoa(a.last)
	a.secrets = append(a.secrets, token)
	return token
}

// roomToken makes one as `sigctl token` does.
func (a *fakeAPI) roomToken(user, room string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	token := a.newToken("room+jwt")
	a.unspent[token] = fakeToken{user, room}
	return token
}

// spend takes a room token, once.
func (a *fakeAPI) spend(token string) (fakeToken, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, ok := a.unspent[token]
	delete(a.unspent, token)
	return t, ok
}

// forget makes all access tokens bad, as new keys of the server do.
func (a *fakeAPI) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.access)
}

// asked returns what was requested since the last time.
func (a *fakeAPI) asked() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	asked := slices.Clone(a.requests)
	a.requests = nil
	return asked
}

// login returns the name that has signed in, or "".
func (s *fakeServer) login(c *fakeConn, id string, m protocol.Login) string {
	reply := s.admit(c, m)
	if !reply.Success {
		c.send(id, reply)
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.conns {
		other.send("", protocol.Joined{Name: reply.Name, Room: reply.Room})
	}
	s.conns[reply.Name] = c
	c.send(id, reply)
	return reply.Name
}

// admit decides about a login by certificate, token or password.
func (s *fakeServer) admit(c *fakeConn, m protocol.Login) protocol.LoginReply {
	granted := protocol.LoginReply{Success: true, Name: m.Name, Room: cmp.Or(m.Room, protocol.Lobby), ICEServers: s.ice}
	switch {
	case m.Token != "":
		token, ok := s.api.spend(m.Token)
		if !ok {
			return protocol.LoginReply{Code: protocol.CodeTokenReplayed, Message: "the token was used before"}
		}
		granted.Name, granted.Room = token.user, cmp.Or(token.room, protocol.Lobby)
	case c.cert != "" && m.Password == "":
		granted.Name = c.cert
	case m.Password != "password":
		return protocol.LoginReply{Code: protocol.CodeBadCredentials, Message: "wrong user name or password"}
	}
	if s.grant != nil {
		s.grant(&granted)
	}
	return granted
}

func (s *fakeServer) renew(c *fakeConn, m protocol.Refresh) protocol.FromServer {
	if s.refresh != nil {
		return s.refresh(m)
	}
	return s.admit(c, protocol.Login{Token: m.Token})
}

// expire ends the session as that of an expired token.
func (c *fakeConn) expire() { c.endWith(protocol.CloseExpired) }

// endWith closes the connection as the server does.
func (c *fakeConn) endWith(code protocol.CloseCode) {
	msg := websocket.FormatCloseMessage(int(code), "")
	c.ws.WriteControl(websocket.CloseMessage, msg, time.Now().Add(writeTimeout))
}
