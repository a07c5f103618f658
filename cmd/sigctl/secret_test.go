package main

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigctl/sigctl/pkg/follow"
	"github.com/sigctl/sigctl/pkg/turncred"
)

// A secret that changes on disk is used; one that is useless is not, and is said.
func TestWatchSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one, two := turncred.Generate(), turncred.Generate()
	write(one)
	secrets, err := turnSecrets("secret", "file:"+path, "")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- watchSecrets(ctx, "secret", "file:"+path, secrets, slog.New(slog.NewTextHandler(&log, nil)))
		}()
		look := func() (keyID string) {
			time.Sleep(follow.Interval) // of the bubble's clock
			synctest.Wait()
			return strings.Split(secrets.Issue("alice", time.Hour, time.Now()).Username, ":")[1]
		}
		first := look()
		write("too short")
		if got := look(); got != first {
			t.Errorf("after a useless secret: key id %q, want %q", got, first)
		}
		write(two)
		if got := look(); got == first {
			t.Errorf("after another secret the key id is still %q", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if got := strings.Count(log.String(), "level=WARN"); got != 1 || strings.Contains(log.String(), two) {
		t.Errorf("the log has %d warnings, want 1, and no secret:\n%s", got, &log)
	}
}

// The secret that is made at the first start stays, and is private.
func TestKeptSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "turn.secret")
	var usernames []string
	for range 2 {
		secrets, err := turnSecrets("turn-secret", "", path)
		if err != nil {
			t.Fatal(err)
		}
		usernames = append(usernames, secrets.Issue("alice", time.Hour, time.Unix(0, 0)).Username)
	}
	if usernames[0] != usernames[1] {
		t.Errorf("two starts have different secrets: %q", usernames)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("the file is %v, %v, want mode 0600", info.Mode(), err)
	}
}
