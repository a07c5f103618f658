package signal

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/certs"
	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/signal/web"
)

// Buffers of a WebSocket. The reader keeps its own for as long as it lives, so
// it is small; writers borrow theirs while they write.
const (
	readBuffer  = 288 // the library takes none below 256
	writeBuffer = 4 << 10
)

func (s *Server) routes() http.Handler {
	upgrader := &websocket.Upgrader{
		HandshakeTimeout: headerTimeout,
		ReadBufferSize:   0, // the hijacked one
		WriteBufferSize:  writeBuffer,
		WriteBufferPool:  &sync.Pool{},
		Subprotocols:     []string{protocol.Subprotocol},
		CheckOrigin:      func(*http.Request) bool { return true }, // upgrade has asked
	}
	page := web.Handler()
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", s.paced(health))
	mux.HandleFunc("/ws", s.paced(func(w http.ResponseWriter, r *http.Request) { s.upgrade(upgrader, w, r) }))
	s.apiRoutes(mux)
	mux.HandleFunc("/", s.paced(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" && websocket.IsWebSocketUpgrade(r) {
			s.upgrade(upgrader, w, r)
			return
		}
		page.ServeHTTP(w, r)
	}))
	if !s.cfg.HSTS {
		return mux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		mux.ServeHTTP(w, r)
	})
}

// paced answers requests with h, or with 429 where they come too fast.
func (s *Server) paced(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		wait := s.pace(r)
		if wait == 0 {
			h(w, r)
			return
		}
		w.Header().Set("Connection", "close") // the next one costs a connection, and those have a rate, too
		fault := errRequests(wait).told
		writeFault(w, httpStatus(fault.Code), fault)
	}
}

// pace returns 0 if a request may be answered, else how long its client has to wait.
func (s *Server) pace(r *http.Request) time.Duration {
	addr := s.clientOf(r)
	if s.cfg.Proxies.Trusts(addr) { // that asks for itself: whether we are there
		return 0
	}
	wait := s.requests.Take(limit.Group(addr), 1)
	if wait > 0 {
		s.admission.count(tooManyRequests)
	}
	return wait
}

func errRequests(wait time.Duration) *refusal {
	r := refuse(protocol.CodeRateLimited, "too many requests from your address", "too many requests")
	r.told.RetryAfter = wholeSeconds(wait)
	return r
}

func health(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, "OK")
}

// upgrade turns the request into a connection, which lives on in a goroutine of
// its own: returning frees the handler's, whose stack the TLS handshake has grown.
func (s *Server) upgrade(u *websocket.Upgrader, w http.ResponseWriter, r *http.Request) {
	who, err := s.visitor(r)
	switch {
	case err != nil:
	case hasToken(r):
		err = errTokenInURL
	case !s.originAllowed(r):
		err = errOrigin(r)
	}
	if err != nil {
		fault := s.refused(err, audit.Event{Kind: audit.Login, Address: who.addr})
		writeFault(w, httpStatus(fault.Code), fault)
		return
	}
	h := &hijacker{ResponseWriter: w}
	ws, err := u.Upgrade(h, r, nil)
	if err != nil {
		s.log.Debug("upgrade refused", "addr", who.addr, "err", err)
		return
	}
	c := newConn(s, ws, h.reader, who)
	if !s.conns.add(c) {
		ws.Close() // the server is closing
		return
	}
	if !s.admission.settle(c.sock, who.addr) { // a proxy's: now it is known whose it is
		c.shutdown(protocol.CloseRateLimited, errCrowded.Error())
	}
	go c.serve(s.ctx) // the request's context ends with the handler
}

// visitor is who sends a request.
type visitor struct {
	addr netip.Addr
	cert *certs.Client // nil: there is no client certificate
}

// peerOf is the other end of the request's connection: the client, as far as the proxies have passed
// its TLS through.
func peerOf(r *http.Request) netip.Addr {
	from, _ := netip.ParseAddrPort(r.RemoteAddr) // of a connection without addresses: none
	return from.Addr().Unmap()
}

// clientOf is the address that a request comes from, as Proxies tell it.
func (s *Server) clientOf(r *http.Request) netip.Addr {
	return s.cfg.Proxies.Client(peerOf(r), r.Header)
}

func (s *Server) visitor(r *http.Request) (v visitor, err error) {
	v.addr = s.clientOf(r)
	if s.cfg.Clients == nil || r.TLS == nil || s.cfg.Proxies.Trusts(peerOf(r)) { // a certificate of the proxy's is nobody's else
		return v, nil
	}
	c, ok, err := s.cfg.Clients.Identify(r.TLS)
	if err != nil {
		return v, refuse(protocol.CodeForbidden, "the client certificate is not accepted: "+err.Error(), err.Error())
	}
	if ok {
		v.cert = &c
	}
	return v, nil
}

// group is the unit in which the visitor is counted.
func (v visitor) group() netip.Prefix { return limit.Group(v.addr) }

// notTheirs refuses what is another user's than the certificate's.
func (v visitor) notTheirs() error {
	return refuse(protocol.CodeForbidden, "this connection's certificate is another user's", "certificate of user "+v.cert.User)
}

// hijacker hands the WebSocket library a read buffer that we know too, for
// conn.nextMessage in frame.go.
type hijacker struct {
	http.ResponseWriter
	reader *bufio.Reader
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if rw.Reader.Buffered() == 0 { // else the library refuses what came too early
		h.reader = bufio.NewReaderSize(nc, readBuffer)
		rw.Reader = h.reader
	}
	return nc, rw, nil
}

// originAllowed keeps pages of other sites from opening the WebSocket with their
// visitor's browser. A request without an Origin does not come from a page.
func (s *Server) originAllowed(r *http.Request) bool {
	header := r.Header.Get("Origin")
	if header == "" {
		switch r.Header.Get("Sec-Fetch-Site") {
		case "", "same-origin", "none": // no browser, our page, the person
			return true
		}
		return false // a request that another page makes its visitor's browser send
	}
	origin, err := url.Parse(header)
	if err != nil || origin.Host == "" {
		return false
	}
	if strings.EqualFold(origin.Host, r.Host) && (r.TLS == nil || origin.Scheme == "https") { // behind a proxy we do not know the scheme
		return true
	}
	for _, allowed := range s.cfg.AllowOrigins {
		if matchOrigin(allowed, origin) {
			return true
		}
	}
	return false
}

// matchOrigin compares scheme, host and port; "*" stands for any port.
func matchOrigin(allowed string, origin *url.URL) bool {
	if host, ok := strings.CutSuffix(allowed, ":*"); ok {
		return strings.EqualFold(host, origin.Scheme+"://"+hostOnly(origin))
	}
	return strings.EqualFold(allowed, origin.Scheme+"://"+origin.Host)
}

// hostOnly is the host without the port, an IPv6 address in its brackets.
func hostOnly(u *url.URL) string {
	return strings.TrimSuffix(strings.TrimSuffix(u.Host, u.Port()), ":")
}
