package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/gorilla/websocket"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/user"
)

// A command that names the Redis of the running server, by whatever address, changes
// it through the server, which ends sessions and writes it down. Another Redis is
// opened as it is.
func TestUserCommandsFindTheServerOfARedis(t *testing.T) {
	shared, other := miniredis.RunT(t), miniredis.RunT(t)
	ts := startPlainServer(t, func(o *serveOptions) { o.demo, o.store.redis = false, "redis://"+shared.Addr() })
	if err := addDemoUsers(t.Context(), ts.backing.users); err != nil {
		t.Fatal(err)
	}
	del := func(addr, name string) error {
		o := &userOptions{global: ts.opts.global, store: storeOptions{redis: "redis://" + addr}}
		return withStore(t.Context(), o, func(s user.Store) error { return runUserDel(t.Context(), o, s, name, stdio{err: io.Discard}) })
	}
	session, stays := ts.join("user1"), ts.join("user2")
	if err := del(other.Addr(), "user2"); !errors.Is(err, user.ErrNotFound) {
		t.Errorf("delete in another Redis: %v, want %v", err, user.ErrNotFound)
	}
	if err := del(shared.Addr()+"/1", "user2"); !errors.Is(err, user.ErrNotFound) {
		t.Errorf("delete in another database: %v, want %v", err, user.ErrNotFound)
	}
	if err := del(strings.Replace(shared.Addr(), "127.0.0.1", "localhost", 1), "user1"); err != nil {
		t.Errorf("delete: %v", err)
	}
	wantKicked(t, session)
	if !slices.ContainsFunc(ts.recorded(), func(e audit.Event) bool { return e.Kind == audit.Admin && e.User == "user1" }) {
		t.Error("the deletion is not on record")
	}
	ts.end()
	if _, _, err := stays.ReadMessage(); !websocket.IsCloseError(err, int(protocol.CloseDraining)) { // and nothing before
		t.Errorf("the session of user2 ended with %v, want close code %d", err, protocol.CloseDraining)
	}
	if err := del(shared.Addr(), "user2"); err != nil { // there is no server any more
		t.Errorf("delete without a server: %v", err)
	}
}

// A server with users of its own has nothing to do with a Redis.
func TestUserCommandsBesideAServer(t *testing.T) {
	redis := miniredis.RunT(t)
	ts := startPlainServer(t, nil)
	o := &userOptions{global: ts.opts.global, store: storeOptions{redis: "redis://" + redis.Addr()}}
	u, err := user.New("alice", "alice-password", user.MinimalParams)
	if err != nil {
		t.Fatal(err)
	}
	if err := withStore(t.Context(), o, func(s user.Store) error { return s.Add(t.Context(), u) }); err != nil {
		t.Fatal(err)
	}
	if _, err := ts.backing.users.Get(context.Background(), "alice"); !errors.Is(err, user.ErrNotFound) || !redis.Exists("sigctl:user:alice") {
		t.Errorf("the server's store says %v, the Redis has alice: %v; want %v, true", err, redis.Exists("sigctl:user:alice"), user.ErrNotFound)
	}
}
