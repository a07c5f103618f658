package signal

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/listen"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// HTTP limits. They bound a client that connects and then says nothing, or says
// it slowly; a WebSocket has limits of its own.
const (
	headerTimeout  = 10 * time.Second // TLS handshake and request header, each
	requestTimeout = 30 * time.Second
	idleTimeout    = 60 * time.Second
	maxHeader      = 16 << 10
)

// Server is a signaling server. Make it with New.
type Server struct {
	cfg         Config // set at construction
	log         *slog.Logger
	admission   *admission
	requests    *limit.Buckets[netip.Prefix] // all of HTTP
	apiLimit    *limit.Buckets[netip.Prefix] // those of the HTTP API
	signIns     *limit.Buckets[string]       // of each user
	conns       registry
	permissions permissionSets
	hub         hub
	http        *http.Server

	ctx     context.Context // of Serve; connections outlive their request's
	running sync.WaitGroup  // the goroutines of all connections
}

// New returns a server that is ready to Serve.
func New(cfg *Config) (*Server, error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:         c,
		log:         c.Logger,
		admission:   newAdmission(&c),
		requests:    limit.NewBuckets[netip.Prefix](c.RequestsPerAddress, addressTable),
		apiLimit:    limit.NewBuckets[netip.Prefix](apiRate, addressTable),
		signIns:     limit.NewBuckets[string](c.Rates.SignIns, userTable),
		permissions: newPermissionSets(),
		hub:         newHub(),
	}
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		Protocols:         new(http.Protocols),
		// What strangers do to the TLS port is no error of the server's.
		ErrorLog: slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
	}
	s.http.Protocols.SetHTTP1(true) // a WebSocket is an HTTP/1.1 upgrade
	return s, nil
}

// Serve accepts connections on all listeners until ctx ends, then closes every client with
// protocol.CloseDraining, waits for all of them and returns nil. If a listener fails, Serve does
// the same and returns its error. It closes the listeners. Call Serve once.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	s.ctx = ctx
	served := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { served <- s.accept(s.admission.listen(l)) }()
	}
	var pinging sync.WaitGroup
	if !s.cfg.neverPing {
		pinging.Go(func() { s.pingLoop(ctx) })
	}

	var err error
	serving := len(listeners)
	select {
	case <-ctx.Done():
	case err = <-served:
		serving--
		cancel()
	}
	s.http.Close()
	s.conns.closeAll(protocol.CloseDraining)
	s.running.Wait()
	for range serving {
		<-served
	}
	pinging.Wait()
	return err
}

func (s *Server) accept(l net.Listener) error {
	switch {
	case s.cfg.Relay != nil:
		shared := listen.Share(l, &listen.ShareOptions{TLS: s.cfg.TLS, Relay: s.relay, Timeout: headerTimeout, Logger: s.log})
		defer shared.Wait() // http closes it
		l = shared
	case s.cfg.TLS != nil:
		l = tls.NewListener(l, s.cfg.TLS)
	}
	err := s.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// relay serves a connection that speaks TURN, which has nobody to log in.
func (s *Server) relay(nc net.Conn) {
	s.admission.release(bottom(nc))
	s.cfg.Relay(nc)
}

// Sessions returns how many users are logged in.
func (s *Server) Sessions() int { return s.hub.size() }

// Stats is a moment's picture of a server.
type Stats struct {
	Connections int // WebSockets, logged in or not
	Sessions    int // logged in
	Pending     int // connections of any kind that have not logged in
	Closed      map[protocol.CloseCode]uint64

	// Refused are the connections and requests that were refused, and the connections that were
	// closed to make room for newer ones, by reason; each reason is there.
	Refused map[string]uint64
}

// Stats returns the present numbers, and how the ended WebSockets ended.
func (s *Server) Stats() Stats {
	open, closed := s.conns.stats()
	pending, refused := s.admission.stats()
	return Stats{
		Connections: open,
		Sessions:    s.hub.size(),
		Pending:     pending,
		Closed:      closed,
		Refused:     refused,
	}
}
