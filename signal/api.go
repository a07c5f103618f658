package signal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// apiRate is that of requests of the API from one address.
var apiRate = limit.Rate{PerSecond: 50, Burst: 200}

const (
	addressTable = 1 << 16  // addresses whose rates are remembered
	userTable    = 1 << 16  // users whose rates are remembered
	maxAPIBody   = 16 << 10 // bytes
)

// apiCall is one request of the HTTP API.
type apiCall struct {
	*http.Request
	who visitor
	// event is what is written down if it is refused.
	event audit.Event
}

// endpoint is one path of the HTTP API.
type endpoint struct {
	path    string
	methods []string
	refusal audit.Kind // what is written down, if a call is refused
	answer  func(context.Context, *apiCall) (any, error)
}

// apiRoutes adds the HTTP API to mux.
func (s *Server) apiRoutes(mux *http.ServeMux) {
	if s.cfg.Tokens == nil {
		return
	}
	for _, e := range []endpoint{
		{protocol.PathLogin, []string{"POST"}, audit.Login, s.apiLogin},
		{protocol.PathJoin, []string{"POST", "GET"}, audit.TokenRefused, s.apiJoin},
		{protocol.PathICE, []string{"POST"}, audit.TokenRefused, s.apiICE},
		{protocol.PathValidate, []string{"GET"}, audit.TokenRefused, s.apiValidate},
	} {
		mux.HandleFunc(e.path, func(w http.ResponseWriter, r *http.Request) { s.serveAPI(w, r, e) })
	}
	mux.HandleFunc("GET "+protocol.PathJWKS, s.paced(s.serveJWKS))
}

// serveAPI answers one request, or says why it is refused.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request, e endpoint) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Add("Vary", "Origin")
	if s.originAllowed(r) {
		allowOrigin(h, r, e.methods)
		if r.Method == http.MethodOptions {
			s.paced(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })(w, r)
			return
		}
	}
	call := &apiCall{Request: r, event: audit.Event{Kind: e.refusal, Message: r.Method + " " + r.URL.Path}}
	answer, err := s.callAPI(call, e)
	if err == nil {
		writeJSON(w, http.StatusOK, answer)
		return
	}
	fault := s.refused(err, call.event)
	status := httpStatus(fault.Code)
	if status == http.StatusBadRequest && !slices.Contains(e.methods, r.Method) {
		h.Set("Allow", strings.Join(e.methods, ", "))
		status = http.StatusMethodNotAllowed
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="sigctl"`)
	}
	writeFault(w, status, fault)
}

func (s *Server) callAPI(call *apiCall, e endpoint) (_ any, err error) {
	call.who, err = s.visitor(call.Request)
	call.event.Address = call.who.addr
	switch wait := s.pace(call.Request); {
	case err != nil:
		return nil, err
	case wait > 0:
		return nil, errRequests(wait)
	case !s.originAllowed(call.Request):
		return nil, errOrigin(call.Request)
	case !slices.Contains(e.methods, call.Method):
		return nil, refuse(protocol.CodeBadMessage, "use "+strings.Join(e.methods, " or "), "method")
	case hasToken(call.Request):
		return nil, errTokenInURL
	}
	if wait := s.apiLimit.Take(call.who.group(), 1); wait > 0 {
		return nil, errRequests(wait)
	}
	began := time.Now()
	answer, err := e.answer(call.Context(), call)
	if err == nil {
		err = s.hub.notKicked(call.event.User, began)
	}
	if err == nil { // all of them need proof of who asks
		s.cfg.Known.Add(call.who.addr)
	}
	return answer, err
}

// allowOrigin lets a page of another origin read the answer (Fetch, section 3.2).
func allowOrigin(h http.Header, r *http.Request, methods []string) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	h.Set("Access-Control-Max-Age", "600")
}

// errTokenInURL: addresses are kept in histories and logs, and sent on as referrers.
var errTokenInURL = refuse(protocol.CodeBadMessage, "a token does not belong into a URL: send it as Authorization: Bearer", "token in the URL")

func errOrigin(r *http.Request) error {
	return refuse(protocol.CodeForbidden, "pages of this origin are not allowed here", "origin "+printable(r.Header.Get("Origin")))
}

// hasToken reports whether the URL carries what may be a token.
func hasToken(r *http.Request) bool {
	q := r.URL.Query()
	return q.Has("token") || q.Has("access_token") || q.Has("password")
}

// bearer returns the token of the Authorization header (RFC 6750, section 2.1); it is
// empty if there is no such header.
func (call *apiCall) bearer() (string, error) {
	header := call.Header.Get("Authorization")
	if header == "" {
		return "", nil
	}
	scheme, text, _ := strings.Cut(header, " ")
	if text = strings.TrimSpace(text); !strings.EqualFold(scheme, "Bearer") || text == "" {
		return "", refuse(protocol.CodeUnauthenticated, "the header should be Authorization: Bearer TOKEN", "no bearer token")
	}
	return text, nil
}

// decode reads the request's body, which may be missing.
func (call *apiCall) decode(into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, call.Body, maxAPIBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(protocol.CodeTooLarge, fmt.Sprintf("the request is larger than %d bytes", maxAPIBody), "body too large")
	case err != nil:
		return refuse(protocol.CodeBadMessage, "the request was cut off", "body cut off")
	case len(body) == 0:
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return refuse(protocol.CodeBadMessage, "the request is not the JSON object that this needs", "body is not the JSON wanted")
	}
	return nil
}

func (s *Server) serveJWKS(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=60")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(s.cfg.Tokens.JWKS())
}

// writeFault answers with an error, and says when to try again.
func writeFault(w http.ResponseWriter, status int, fault protocol.Error) {
	if fault.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(fault.RetryAfter))
	}
	writeJSON(w, status, fault)
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value) // fails if the client has gone
}

// httpStatus is that of an answer that carries an error of that code.
func httpStatus(c protocol.Code) int {
	switch c {
	case protocol.CodeBadMessage:
		return http.StatusBadRequest
	case protocol.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case protocol.CodeUnauthenticated, protocol.CodeBadCredentials, protocol.CodeTokenExpired, protocol.CodeTokenReplayed:
		return http.StatusUnauthorized
	case protocol.CodeForbidden:
		return http.StatusForbidden
	case protocol.CodeAlreadyLoggedIn:
		return http.StatusConflict
	case protocol.CodeRateLimited:
		return http.StatusTooManyRequests
	case protocol.CodeBusy:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
