package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sigctl/sigctl/pkg/admin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type request struct {
	Name string `json:"name,omitempty"`
	N    int    `json:"n,omitempty"`
}

type answer struct {
	Text string `json:"text"`
}

var (
	errAbsent = errors.New("nobody there")
	errDown   = errors.New("is down")

	known = []admin.Error{{Code: "absent", Status: http.StatusNotFound, Err: errAbsent}}
	greet = admin.Method[request, answer]{Path: "/greet", Errors: known}
	count = admin.List[request, answer]{Path: "/count", Errors: known, Max: 10}
)

// newMux serves greet and count.
func newMux() *http.ServeMux {
	mux := http.NewServeMux()
	greet.Handle(mux, func(_ context.Context, in request) (answer, error) {
		switch in.Name {
		case "":
			return answer{}, fmt.Errorf("%w: %w", errAbsent, errors.New("no name"))
		case "disk":
			return answer{}, errDown
		}
		return answer{"hello " + in.Name}, nil
	})
	count.Handle(mux, func(_ context.Context, in request) (all []answer, err error) {
		if in.N < 0 {
			return nil, errAbsent
		}
		for i := range in.N {
			all = append(all, answer{fmt.Sprint(i)})
		}
		return all, nil
	})
	return mux
}

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

// dial serves h on a socket, and returns a client of it.
func dial(t *testing.T, h http.Handler) *admin.Client {
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
	c, err := admin.Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestMethod(t *testing.T) {
	c := dial(t, newMux())
	got, err := greet.Call(t.Context(), c, request{Name: "alice"})
	if want := (answer{"hello alice"}); err != nil || got != want {
		t.Errorf("Call = %v, %v, want %v", got, err, want)
	}
}

func TestList(t *testing.T) {
	c := dial(t, newMux())
	for _, want := range [][]answer{nil, {{"0"}}, {{"0"}, {"1"}, {"2"}}} {
		got, err := count.Call(t.Context(), c, request{N: len(want)})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Call: %v, differs (-want +got):\n%s", err, diff)
		}
	}
}

// TestErrors: what is known keeps its identity and its text, and no other does.
func TestErrors(t *testing.T) {
	c := dial(t, newMux())
	_, absent := greet.Call(t.Context(), c, request{})
	_, absentList := count.Call(t.Context(), c, request{N: -1})
	_, down := greet.Call(t.Context(), c, request{Name: "disk"})
	_, long := greet.Call(t.Context(), c, request{Name: strings.Repeat("x", 64<<10)})
	_, tooMany := count.Call(t.Context(), c, request{N: 11})
	for _, test := range []struct {
		name string
		err  error
		is   error
		text string
	}{
		{"known", absent, errAbsent, "nobody there: no name"},
		{"known of a list", absentList, errAbsent, "nobody there"},
		{"unknown", down, nil, ": the server failed: is down"},
		{"too long", long, admin.ErrBadRequest, "bad request: http: request body too large"},
		{"too many", tooMany, nil, ": more than 10 lines in the answer to /count"},
	} {
		if test.err == nil {
			t.Errorf("%s: no error, want %q", test.name, test.text)
			continue
		}
		if test.is != nil && (!errors.Is(test.err, test.is) || test.err.Error() != test.text) {
			t.Errorf("%s: error is %q, want %q", test.name, test.err, test.text)
		}
		if test.is == nil && (errors.Is(test.err, errDown) || !strings.HasPrefix(test.err.Error(), "admin socket /") ||
			!strings.HasSuffix(test.err.Error(), test.text)) {
			t.Errorf("%s: error is %q, want one of the socket that ends in %q", test.name, test.err, test.text)
		}
	}
}

// TestCanceled: who gives up waiting, has the server's function give up too.
func TestCanceled(t *testing.T) {
	wait := admin.Method[struct{}, struct{}]{Path: "/wait"}
	begun, ended := make(chan struct{}), make(chan error, 1)
	mux := http.NewServeMux()
	wait.Handle(mux, func(ctx context.Context, _ struct{}) (struct{}, error) {
		close(begun)
		<-ctx.Done()
		ended <- ctx.Err()
		return struct{}{}, ctx.Err()
	})
	c := dial(t, mux)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if _, err := wait.Call(ctx, c, struct{}{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Call: %v, want %v", err, context.Canceled)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the function's context: %v, want %v", err, context.Canceled)
	}
}

func TestDialWithoutServer(t *testing.T) {
	socket := newSocketPath(t)
	wantNotServing := func(when string) {
		t.Helper()
		if _, err := admin.Dial(t.Context(), socket); !errors.Is(err, admin.ErrNotServing) {
			t.Errorf("%s: %v, want %v", when, err, admin.ErrNotServing)
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

// TestBadServers: what is no good answer is an error that names the socket.
func TestBadServers(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   string
	}{
		"another version": {func(w http.ResponseWriter) { http.Error(w, "no such page", http.StatusNotFound) }, "does not know /count"},
		"another service": {func(w http.ResponseWriter) { http.Error(w, "go away", http.StatusTeapot) }, "418"},
		"not JSON":        {func(w http.ResponseWriter) { w.Write([]byte("hello")) }, "invalid character"},
		"endless": {func(w http.ResponseWriter) {
			w.Write([]byte(`{"text":"` + strings.Repeat("x", 1<<20)))
		}, "unexpected EOF"},
		"dies in the middle": {func(w http.ResponseWriter) {
			w.Write([]byte(`{"text":"0"}` + "\n" + `{"text":`))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { test.answer(w) }))
			got, err := count.Call(t.Context(), c, request{})
			if err == nil || !strings.HasPrefix(err.Error(), "admin socket /") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Call = %v, %v, want an error about the socket and %q", got, err, test.want)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	h := newMux()
	for _, c := range []struct {
		name, method, path, body string
		want                     int
	}{
		{"good", "POST", "/greet", `{"name":"bob"}`, 200},
		{"too long", "POST", "/greet", `{"name":"` + strings.Repeat("x", 64<<10) + `"}`, 400},
		{"not JSON", "POST", "/greet", "hello", 400},
		{"empty", "POST", "/greet", "", 400},
		{"an array", "POST", "/greet", "[]", 400},
		{"unknown field", "POST", "/greet", `{"name":"bob","only":true}`, 400},
		{"known error", "POST", "/greet", `{}`, 404},
		{"other error", "POST", "/greet", `{"name":"disk"}`, 500},
		{"GET", "GET", "/greet", "", 405},
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
