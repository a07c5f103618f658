package user_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigctl/sigctl/pkg/user"
	"github.com/sigctl/sigctl/pkg/user/usertest"
)

// newSocketPath is short: a socket's path has 107 bytes at most.
func newSocketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sigctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "admin.sock")
}

// dialHandler serves h on a socket, and returns a Remote of it.
func dialHandler(t *testing.T, h http.Handler) *user.Remote {
	t.Helper()
	socket := newSocketPath(t)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	r, err := user.DialAdmin(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRemoteStore(t *testing.T) {
	usertest.Run(t, func(t *testing.T) user.Store {
		return dialHandler(t, user.NewHandler(openBolt(t, newBoltPath(t))))
	})
}

func TestRemoteKeepsTexts(t *testing.T) {
	bolt := openBolt(t, newBoltPath(t))
	r := dialHandler(t, user.NewHandler(bolt))
	_, want := bolt.Get(t.Context(), "bob")
	_, got := r.Get(t.Context(), "bob")
	if got.Error() != want.Error() {
		t.Errorf("Get: error is %q, want %q", got, want)
	}
}

func TestDialAdminWithoutServer(t *testing.T) {
	if _, err := user.DialAdmin(t.Context(), newSocketPath(t)); !errors.Is(err, user.ErrNotServing) {
		t.Errorf("DialAdmin: %v, want %v", err, user.ErrNotServing)
	}
}

// failing is a store that has failed.
type failing struct{ user.Store }

func (failing) Get(context.Context, string) (user.User, error) {
	return user.User{}, errors.New("disk on fire")
}
func (failing) List(context.Context) ([]user.User, error) { return nil, user.ErrTooMany }

func TestRemoteErrors(t *testing.T) {
	r := dialHandler(t, user.NewHandler(failing{}))
	if _, err := r.Get(t.Context(), "bob"); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("Get: %v, want the store's text", err)
	}
	if _, err := r.List(t.Context()); !errors.Is(err, user.ErrTooMany) {
		t.Errorf("List: %v, want %v", err, user.ErrTooMany)
	}
}

// TestHandlerChecks: what a Remote checks before it calls, the server checks too.
func TestHandlerChecks(t *testing.T) {
	h := user.NewHandler(openBolt(t, newBoltPath(t)))
	for _, c := range []struct {
		name, path, body string
		want             int
	}{
		{"long name", "/users/get", `{"name":"` + strings.Repeat("x", 5000) + `"}`, 404},
		{"no name", "/users/add", "{}", 422},
		{"no hash", "/users/add", `{"name":"bob"}`, 422},
		{"no source", "/users/claim", `{"name":"bob"}`, 422},
		{"long source", "/users/claim", `{"name":"bob","source":"oidc:` + strings.Repeat("x", 508) + `"}`, 422},
		{"year 10000", "/users/revoke", `{"name":"bob","revoked":"9999-12-31T23:59:59-01:00"}`, 422},
		{"not found", "/users/get", `{"name":"bob"}`, 404},
		{"another's field", "/users/delete", `{"name":"bob","id":1}`, 400},
		{"elsewhere", "/users/", "{}", 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("POST", c.path, strings.NewReader(c.body)))
			if w.Code != c.want {
				t.Errorf("status is %d, want %d: %s", w.Code, c.want, w.Body)
			}
		})
	}
}
