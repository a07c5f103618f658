//go:build integration

package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// fakeToken is one that the fake server has issued.
type fakeToken struct {
	kind, name, room string
	expires          time.Time
}

// apiRequest is what the HTTP API was asked.
type apiRequest struct {
	path, bearer string
	body         message
}

// What people may do in a room, unless it is said otherwise.
var everything = []string{protocol.PermJoin, protocol.PermData, protocol.PermPublish, protocol.PermSubscribe}

// answer replaces the API's answers to a path by those of h; nil brings them back.
func (s *fakeServer) answer(path string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path] = h
}

// fault answers as the API does to what it refuses.
func fault(status int, code protocol.Code, text string, retryAfter int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(protocol.Error{Code: code, Message: text, RetryAfter: retryAfter})
	}
}

// asked returns what was asked of a path.
func (s *fakeServer) asked(path string) []apiRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.requests), func(r apiRequest) bool { return r.path != path })
}

// tokens returns the text of every token issued.
func (s *fakeServer) tokens() (texts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.issued)
}

func (s *fakeServer) serveAPI(w http.ResponseWriter, r *http.Request) {
	var body message
	_ = json.NewDecoder(r.Body).Decode(&body) // no body, no fields
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	s.requests = append(s.requests, apiRequest{r.URL.Path, bearer, body})
	replaced := s.answers[r.URL.Path]
	s.mu.Unlock()
	switch {
	case replaced != nil:
		replaced(w, r)
	case r.Method != "POST" || r.URL.RawQuery != "":
		fault(400, protocol.CodeBadMessage, "use POST, without a query", 0)(w, r)
	case r.URL.Path == protocol.PathLogin:
		s.apiLogin(w, r, body)
	case r.URL.Path == protocol.PathJoin:
		s.apiJoin(w, r, bearer, str(body["room"]))
	}
}

func (s *fakeServer) apiLogin(w http.ResponseWriter, r *http.Request, body message) {
	switch {
	case body["name"] == "hasty":
		fault(429, protocol.CodeRateLimited, "too many failed logins", 8)(w, r)
	case !goodPassword(body):
		fault(401, protocol.CodeBadCredentials, "wrong user name or password", 0)(w, r)
	default:
		name := str(body["name"])
		text, expires := s.issue("access", name, "", s.accessTTL)
		json.NewEncoder(w).Encode(protocol.AccessToken{Token: text, User: name, Expires: expires.Unix()})
	}
}

func (s *fakeServer) apiJoin(w http.ResponseWriter, r *http.Request, bearer, room string) {
	access, err := s.verify("access", bearer)
	switch {
	case err != nil:
		fault(401, protocol.CodeTokenExpired, err.Error(), 0)(w, r)
	case room == "vault":
		fault(403, protocol.CodeForbidden, "you may not join room vault", 0)(w, r)
	default:
		text, _ := s.issue("room", access.name, room, 10*time.Minute)
		json.NewEncoder(w).Encode(protocol.RoomToken{Token: text, User: access.name, Room: room, TTL: 600})
	}
}

func (s *fakeServer) issue(kind, name, room string, ttl time.Duration) (string, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf("%s-token-%d.of.%s", kind, len(s.issued), name)
	s.issued = append(s.issued, text)
	expires := time.Now().Add(ttl)
	s.valid[text] = fakeToken{kind, name, room, expires}
	return text, expires
}

// verify returns what a token is good for; one of a room is spent by that.
func (s *fakeServer) verify(kind, text string) (fakeToken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token, ok := s.valid[text]
	switch {
	case !ok:
		return token, fmt.Errorf("%q is no token, or spent", text)
	case token.kind != kind:
		return token, fmt.Errorf("%q is no %s token", text, kind)
	case time.Now().After(token.expires):
		return token, fmt.Errorf("%q has expired", text)
	}
	if kind == "room" {
		delete(s.valid, text)
	}
	return token, nil
}

// revoke makes all tokens that were issued invalid.
func (s *fakeServer) revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.valid)
}

// permissionsOf returns what somebody may do in a room.
func (s *fakeServer) permissionsOf(name, room string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch p, ok := s.permits[name]; {
	case ok:
		return p
	case room == "gallery":
		return []string{protocol.PermJoin, protocol.PermSubscribe}
	}
	return everything
}

// permit changes what somebody may do, from the next login or refresh on, and what
// the server says of it from now on.
func (s *fakeServer) permit(name string, permissions ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.permits[name] = permissions
}
