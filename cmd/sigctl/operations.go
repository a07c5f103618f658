package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/pflag"
	"golang.org/x/sync/singleflight"
)

// operationsOptions say where machines ask how this process does. By default nowhere:
// a second server on the machine would find the port taken, and what is not read need
// not be told.
type operationsOptions struct{ listen string }

func (o *operationsOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.listen, "admin-listen", "off", "`address` for /metrics, /healthz and /readyz, plain HTTP, e.g. 127.0.0.1:9091; or off")
}

func (o *operationsOptions) check() error {
	if o.listen != "off" && !isListenAddress(o.listen) {
		return badFlag("admin-listen", fmt.Sprintf("%q is not an address", o.listen), "for example 127.0.0.1:9091, or off")
	}
	return nil
}

// open returns nil if it is off.
func (o *operationsOptions) open(log *slog.Logger) (net.Listener, error) {
	if o.listen == "off" {
		return nil, nil
	}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, bindFault("admin-listen", err)
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		log.Warn("--admin-listen: whoever reaches this address can read the metrics, in plain text and without a password", "address", l.Addr())
	}
	return l, nil
}

// serveOperations answers on l until ctx ends; nil means nowhere. ready reports whether
// this process can do its work, after trying it.
func serveOperations(ctx context.Context, l net.Listener, metrics *prometheus.Registry, ready func(context.Context) error) error {
	if l == nil {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{Registry: metrics}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "OK") })
	mux.Handle("GET /readyz", &readiness{ctx: ctx, try: ready})
	return serveAdmin(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(10 * time.Second)) // a TCP connection can
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	}))
}

const (
	readyTimeout = 3 * time.Second
	readyFor     = time.Second // how old a verdict may be
)

// readiness tries whether all works, once for all who ask within a second: asking is
// no load.
type readiness struct {
	// set at construction
	ctx context.Context // of the server
	try func(context.Context) error

	flight singleflight.Group

	// owned by the one flight
	tried time.Time
	err   error
}

// ServeHTTP answers 200, or 503 with the reason.
func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if err := r.check(); err != nil {
		http.Error(w, oneLine(err.Error()), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

func (r *readiness) check() error {
	_, err, _ := r.flight.Do("", func() (any, error) {
		if time.Since(r.tried) >= readyFor {
			ctx, cancel := context.WithTimeout(r.ctx, readyTimeout)
			defer cancel()
			r.err = r.try(ctx)
			r.tried = time.Now()
		}
		return nil, r.err
	})
	return err
}

// announceOperations says where l answers.
func announceOperations(w io.Writer, l net.Listener) {
	if l != nil {
		fmt.Fprintf(w, "  %-7s http://%s/metrics\n", "admin", l.Addr())
	}
}
