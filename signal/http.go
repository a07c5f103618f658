package signal

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/signal/web"
)

// Buffers of a WebSocket. The reader keeps its own for as long as it lives, so
// it is small; writers borrow theirs while they write.
const (
	readBuffer  = 1 << 10
	writeBuffer = 4 << 10
)

func (s *Server) routes() http.Handler {
	upgrader := &websocket.Upgrader{
		HandshakeTimeout: headerTimeout,
		ReadBufferSize:   readBuffer,
		WriteBufferSize:  writeBuffer,
		WriteBufferPool:  &sync.Pool{},
		Subprotocols:     []string{protocol.Subprotocol},
		CheckOrigin:      s.originAllowed,
	}
	page := web.Handler()
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", health)
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) { s.upgrade(upgrader, w, r) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" && websocket.IsWebSocketUpgrade(r) {
			s.upgrade(upgrader, w, r)
			return
		}
		page.ServeHTTP(w, r)
	})
	return mux
}

func health(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, "OK")
}

// upgrade turns the request into a connection, which lives on in a goroutine of
// its own: returning frees the handler's, whose stack the TLS handshake has grown.
func (s *Server) upgrade(u *websocket.Upgrader, w http.ResponseWriter, r *http.Request) {
	ws, err := u.Upgrade(w, r, nil)
	if err != nil {
		s.log.Debug("upgrade refused", "addr", r.RemoteAddr, "err", err)
		return
	}
	c := newConn(s, ws)
	if !s.conns.add(c) {
		ws.Close() // the server is closing
		return
	}
	go c.serve(s.ctx) // the request's context ends with the handler
}

// originAllowed keeps pages of other sites from opening the WebSocket with their
// visitor's browser. A request without an Origin does not come from a page.
func (s *Server) originAllowed(r *http.Request) bool {
	header := r.Header.Get("Origin")
	if header == "" {
		return true
	}
	origin, err := url.Parse(header)
	if err != nil || origin.Host == "" {
		return false
	}
	if strings.EqualFold(origin.Host, r.Host) {
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
