package certs

import (
	"bytes"
	"crypto/ecdsa"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clock is a time that tests move.
type clock struct{ t time.Time }

func newClock() *clock                   { return &clock{time.Now()} }
func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

const day = 24 * time.Hour

// logBuffer collects a logger's lines.
type logBuffer struct{ bytes.Buffer }

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// count returns how many lines contain text.
func (b *logBuffer) count(text string) int {
	n := 0
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func newTestCA(t *testing.T) *CA {
	t.Helper()
	ca, err := OpenCA(t.TempDir())
	if err != nil {
		t.Fatalf("open CA: %v", err)
	}
	return ca
}

func mustIssue(t *testing.T) func(Issued, error) Issued {
	t.Helper()
	return func(issued Issued, err error) Issued {
		t.Helper()
		if err != nil {
			t.Fatalf("issue: %v", err)
		}
		return issued
	}
}

// write puts text into a file of dir and returns its path. Each write has a modification time of its own.
func write(t *testing.T, dir, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := replaceFile(path, text); err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
	return path
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("mode of %s: got %o, want %o", path, got, want)
	}
}

// rootKey reads the key with which ca's intermediate was signed.
func rootKey(t *testing.T, ca *CA) *ecdsa.PrivateKey {
	t.Helper()
	pair, err := readPair(filepath.Join(ca.path, rootFile), filepath.Join(ca.path, rootKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	return pair.PrivateKey.(*ecdsa.PrivateKey)
}
