package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sigctl/sigctl/pkg/user"
)

// maxSocketPath is the longest path that every Unix takes for a socket.
const maxSocketPath = 103

// listenAdmin opens the admin socket. Only this user can reach it: its directory
// has mode 0700 before the socket is there.
func listenAdmin(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, usage(fmt.Errorf("admin socket %s: the path is longer than %d bytes", path, maxSocketPath),
			"choose a shorter --data DIR")
	}
	dir := filepath.Dir(path)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o700)); err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, usage(fmt.Errorf("a server is running with this data directory: %s answers", path),
			"stop it, or choose another --data DIR")
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // left by a server that was killed
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("admin socket: %w", err), l.Close())
	}
	return l, nil
}

// newAdminMux is what every admin socket offers: profiles of the running program (go
// tool pprof).
func newAdminMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// adminHandler is what the admin socket of serve offers beside: the user store, and
// what admin_api.go lists.
func (a *app) adminHandler() http.Handler {
	mux := newAdminMux()
	mux.Handle("/users/", user.NewHandler(adminStore{a.backing.users, a}))
	a.adminAPI(mux)
	return mux
}

// maxAdminConns bounds the connections of an admin socket or of --admin-listen.
const maxAdminConns = 64

// serveAdmin answers on l until ctx ends, and waits for what it has begun.
func serveAdmin(ctx context.Context, l net.Listener, handler http.Handler) error {
	var conns sync.WaitGroup
	places := make(chan struct{}, maxAdminConns)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				<-places
				conns.Done()
			}
		},
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			places <- struct{}{}
			conns.Add(1)
			return ctx
		},
	}
	defer conns.Wait()
	defer server.Close()
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("administration at %v: %w", l.Addr(), err)
	}
	return nil
}
