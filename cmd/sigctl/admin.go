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

// adminHandler is what the admin socket offers: the user store, what admin_api.go
// lists, and profiles of the running server (go tool pprof).
func (a *app) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/users/", user.NewHandler(adminStore{a.backing.users, a}))
	a.adminAPI(mux)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// serveAdmin answers on l until ctx ends.
func serveAdmin(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin socket: %w", err)
	}
	return nil
}
