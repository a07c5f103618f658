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
	socket := newSocketPath(t)
	wantNotServing := func(when string) {
		t.Helper()
		if _, err := user.DialAdmin(t.Context(), socket); !errors.Is(err, user.ErrNotServing) {
			t.Errorf("%s: %v, want %v", when, err, user.ErrNotServing)
		}
	}
	wantNotServing("no socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	wantNotServing("a socket that a dead server left")
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

// TestRemoteBadServers: what is no good answer is an error that names the socket.
func TestRemoteBadServers(t *testing.T) {
	line := `{"name":"bob","hash":"` + usertest.NewUser(t, "bob").Hash + `"}` + "\n"
	for name, answer := range map[string]func(w http.ResponseWriter){
		"another service": func(w http.ResponseWriter) { http.Error(w, "no such page", http.StatusNotFound) },
		"not JSON":        func(w http.ResponseWriter) { w.Write([]byte("hello")) },
		"endless": func(w http.ResponseWriter) {
			w.Write([]byte(`{"name":"` + strings.Repeat("x", 1<<20)))
		},
		"dies in the middle": func(w http.ResponseWriter) {
			w.Write([]byte(line + `{"name":`))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := dialHandler(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
			users, err := r.List(t.Context())
			if err == nil || errors.Is(err, user.ErrNotFound) || !strings.HasPrefix(err.Error(), "admin socket /") {
				t.Errorf("List = %v, %v, want an error about the socket", users, err)
			}
		})
	}
}

func TestHandlerBounds(t *testing.T) {
	h := user.NewHandler(openBolt(t, newBoltPath(t)))
	for _, c := range []struct {
		name, method, path, body string
		want                     int
	}{
		{"too long", "POST", "/users/get", `{"name":"` + strings.Repeat("x", 5000) + `"}`, 422},
		{"not JSON", "POST", "/users/add", "hello", 422},
		{"empty", "POST", "/users/add", "", 422},
		{"null", "POST", "/users/add", "null", 422},
		{"not found", "POST", "/users/get", `{"name":"bob"}`, 404},
		{"GET", "GET", "/users/list", "", 405},
		{"elsewhere", "POST", "/users/", "{}", 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
			if w.Code != c.want {
				t.Errorf("status is %d, want %d: %s", w.Code, c.want, w.Body)
			}
		})
	}
}
