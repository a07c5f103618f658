package redis

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// openError returns the text of Open's error, which never has the password. A timeout of 0 is the
// default.
func openError(t *testing.T, url string, timeout time.Duration) string {
	t.Helper()
	c, err := Open(t.Context(), url, &Options{Timeout: timeout})
	if err == nil {
		c.Close()
		t.Fatalf("Open(%s) succeeded, want an error", url)
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("Open(%s): %q shows the password", url, err)
	}
	return err.Error()
}

func TestOpenUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	want := "redis at " + addr + ": connection refused"
	if got := openError(t, "redis://user:s3cret@"+addr, 0); got != want {
		t.Errorf("error is %q, want %q", got, want)
	}
	want = "redis at /nonexistent/redis.sock: no such file or directory"
	if got := openError(t, "unix:///nonexistent/redis.sock", 0); got != want {
		t.Errorf("error is %q, want %q", got, want)
	}
}

// TestOpenSilent: a server that accepts, and says nothing.
func TestOpenSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := "redis at " + l.Addr().String() + ": no answer within 100ms"
	if got := openError(t, "redis://:s3cret@"+l.Addr().String(), 100*time.Millisecond); !strings.HasPrefix(got, want) {
		t.Errorf("error is %q, want %q…", got, want)
	}
}

func TestOpenCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, "redis://"+miniredis.RunT(t).Addr(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v, want %v", err, context.Canceled)
	}
}

func TestOpenPassword(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireAuth("right")
	for _, userinfo := range []string{"", ":s3cret@"} {
		got := openError(t, "redis://"+userinfo+m.Addr(), 0)
		if !strings.HasPrefix(got, "redis at "+m.Addr()+": ") || !strings.Contains(got, "password") {
			t.Errorf("error with %q is %q, want one about the password", userinfo, got)
		}
	}
	c, err := Open(t.Context(), "redis://:right@"+m.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestOpenBadURL(t *testing.T) {
	for _, url := range []string{
		"", "localhost:6379", "http://localhost", "redis://:s3cret/x@localhost:6379", "redis://:1/s3cret@localhost",
		"redis://localhost/s3cret", "redis://localhost:6379?s3cret=x", "redis://u:%s3cret@localhost",
	} {
		if got := openError(t, url, 0); got != errURL.Error() {
			t.Errorf("Open(%q): %q, want %q", url, got, errURL)
		}
	}
}
