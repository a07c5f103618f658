package user_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigctl/sigctl/pkg/user"
	"github.com/sigctl/sigctl/pkg/user/usertest"
)

func openBolt(t *testing.T, path string) *user.Bolt {
	t.Helper()
	b, err := user.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func newBoltPath(t *testing.T) string { return filepath.Join(t.TempDir(), "users.db") }

func TestBoltStore(t *testing.T) {
	usertest.Run(t, func(t *testing.T) user.Store { return openBolt(t, newBoltPath(t)) })
}

func TestBoltKeepsUsers(t *testing.T) {
	path := newBoltPath(t)
	b := openBolt(t, path)
	alice := usertest.Add(t, b, "alice")[0]
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	usertest.Want(t, openBolt(t, path), alice)
}

func TestBoltFileIsPrivate(t *testing.T) {
	path := newBoltPath(t)
	check := func(when string) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s: mode is %o, want 600", when, got)
		}
	}
	openBolt(t, path).Close()
	check("new file")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	openBolt(t, path)
	check("file that was open to all")
}

func TestBoltLocked(t *testing.T) {
	path := newBoltPath(t)
	openBolt(t, path)
	_, err := user.OpenBolt(path)
	if !errors.Is(err, user.ErrLocked) {
		t.Fatalf("second OpenBolt: %v, want %v", err, user.ErrLocked)
	}
	if want := "user store " + path + " is in use by another process"; err.Error() != want {
		t.Errorf("error is %q, want %q", err, want)
	}
}

func TestBoltClosed(t *testing.T) {
	b := openBolt(t, newBoltPath(t))
	b.Close()
	if _, err := b.Get(t.Context(), "alice"); err == nil || errors.Is(err, user.ErrNotFound) {
		t.Errorf("Get after Close: %v, want another error", err)
	}
}

func TestOpenBoltFaults(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("not a store\n", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{filepath.Join(dir, "none", "users.db"), "no such file or directory"},
		{filepath.Join(garbage, "users.db"), "not a directory"},
		{dir, "is a directory"},
		{garbage, "invalid database"},
		{short, "invalid database"},
	} {
		_, err := user.OpenBolt(c.path)
		if err == nil {
			t.Errorf("OpenBolt(%s) succeeded, want %q", c.path, c.want)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), c.path) != 1 {
			t.Errorf("OpenBolt(%s): %q, want %q and the path, once", c.path, err, c.want)
		}
	}
}
