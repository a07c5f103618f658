//go:build integration

package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// Root does not use a data directory that belongs to somebody else: every command that would refuses,
// says what to type, and leaves nothing there.
func TestDataDirectoryOfSomebodyElse(t *testing.T) {
	t.Parallel()
	needRoot(t, "it gives files to somebody else")
	data := newDataDir(t)
	if err := os.Chown(data, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"serve"}, {"turn"}, {"user", "list"}, {"user", "add", "alice"}, {"token", "--user", "alice"},
		{"token", "keys", "list"}, {"session", "list"}, {"session", "kick", "alice"}, {"drain"}, {"cert", "ca"},
		{"cert", "server", "example.com"}, {"user", "list", "--redis", "redis://127.0.0.1:1"}, {"chat", "--user", "alice"},
	} {
		refusesData(t, data, data, args)
	}
	refusesData(t, filepath.Join(data, "below", "it"), data, []string{"user", "list"})
	if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
		t.Errorf("%v are left there, error %v, want nothing", left, err)
	}
}

// Nor does it use files of somebody else in a directory of its own.
func TestDataFilesOfSomebodyElse(t *testing.T) {
	t.Parallel()
	needRoot(t, "it gives files to somebody else")
	data := newDataDir(t)
	run(t, "cert ca", []string{sigctl, "--data", data, "cert", "ca"}).wantExit(0)
	users := filepath.Join(data, "users.db")
	for _, file := range []string{users, filepath.Join(data, "ca", "root.pem")} {
		if file == users {
			write(t, data, "users.db", "")
		}
		if err := os.Chown(file, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		refusesData(t, data, file, []string{"user", "list"})
		if err := os.Chown(file, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(users); err != nil {
		t.Fatal(err)
	}
	run(t, "user list", []string{sigctl, "--data", data, "user", "list"}).wantExit(0)
}

// refusesData runs a command that must refuse the data directory because of a path.
func refusesData(t *testing.T, data, because string, args []string) {
	t.Helper()
	p := run(t, args[0], append([]string{sigctl, "--data", data}, args...), withEnv("SIGCTL_PASSWORD=correct horse"))
	p.wantExit(2)
	wantComplaint(t, p.err.all(), because+" belongs to ", "sudo -u ")
}
