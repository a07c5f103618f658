package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// oneLine is a MaxSize at which every file holds one event of tests.
const oneLine = 100

func (tl *testLog) write(suffix, text string) {
	tl.Helper()
	if err := os.WriteFile(tl.path+suffix, []byte(text), 0o600); err != nil {
		tl.Fatal(err)
	}
}

func (tl *testLog) must(err error) {
	tl.Helper()
	if err != nil {
		tl.Fatal(err)
	}
}

// inBubble runs a test of a log's file in which time.Sleep takes no time.
func inBubble(t *testing.T, opts *Options, test func(*testLog)) {
	synctest.Test(t, func(t *testing.T) {
		tl := openLog(t, opts)
		test(tl)
		if err := tl.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestOpen(t *testing.T) {
	tl := openLog(t, nil)
	tl.record("alice")
	info, err := os.Stat(tl.path)
	tl.must(err)
	if got := info.Mode().Perm(); got != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode %o, want 600", got)
	}
	tl.must(tl.Close())
	tl.Log = mustOpen(t, tl.path, nil)
	tl.record("bob")
	tl.wantUsers("", "alice", "bob")
}

func TestOpenFaults(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ path, want string }{
		{dir, "is not a regular file"},
		{os.DevNull, "is not a regular file"},
		{filepath.Join(dir, "missing", "audit.log"), "no such file"},
	} {
		_, err := Open(c.path, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("Open(%s): %v, want an error with %q", c.path, err, c.want)
		}
	}
}

// TestOpenTorn: a crash, or a full disk, left a line without its end.
func TestOpenTorn(t *testing.T) {
	for _, left := range []string{"", "\n", "{\"time\":\"2026\n", `{"time":"2026`, "x"} {
		tl := openLog(t, nil)
		tl.must(tl.Close())
		tl.write("", left)
		tl.Log = mustOpen(t, tl.path, nil)
		tl.record("alice", "bob")
		text, err := os.ReadFile(tl.path)
		tl.must(err)
		rest, ok := bytes.CutPrefix(text, []byte(left))
		if left != "" && !strings.HasSuffix(left, "\n") {
			rest, ok = bytes.CutPrefix(rest, []byte("\n"))
		}
		if got := events(t, rest); !ok || len(got) != 2 {
			t.Errorf("after %q: got %q, want two more lines", left, text)
		}
	}
}

func TestRotate(t *testing.T) {
	tl := openLog(t, &Options{MaxSize: oneLine, MaxFiles: 3})
	tl.record("a", "b", "c", "d", "e")
	tl.wantUsers("", "e")
	tl.wantUsers(".1", "d")
	tl.wantUsers(".2", "c")
	tl.wantUsers(".3", "b")
	tl.wantUsers(".4")
	tl.must(tl.Close())
	tl.Log = mustOpen(t, tl.path, &Options{MaxSize: oneLine, MaxFiles: 1})
	tl.record("f")
	tl.wantUsers("", "f")
	tl.wantUsers(".1", "e")
	tl.wantUsers(".2", "c")
}

// TestRotateLongLine: a line that is longer than a file may be has one of its own.
func TestRotateLongLine(t *testing.T) {
	tl := openLog(t, &Options{MaxSize: 1})
	tl.record("a", "b")
	tl.wantUsers("", "b")
	tl.wantUsers(".1", "a")
	tl.wantUsers(".2")
}

// TestRotateAfterCrash: whatever a crash left of a rotation, nothing is lost that MaxFiles keeps.
func TestRotateAfterCrash(t *testing.T) {
	one := func(user string) string {
		return fmt.Sprintf(`{"time":"2026-11-21T12:00:00.000Z","event":"login","outcome":"ok","user":"%s"}`+"\n", user)
	}
	for _, c := range []struct {
		name string
		left []string // users of the file, .1, .2 …; empty: no file
		want []string // after another event, of user z
	}{
		{"before the first rename", []string{"d", "c", "b", "a"}, []string{"z", "d", "c", "b"}},
		{"after the first rename", []string{"d", "c", "", "b"}, []string{"z", "d", "c", "b"}},
		{"after the second rename", []string{"d", "", "c", "b"}, []string{"z", "d", "c", "b"}},
		{"before the new file", []string{"", "d", "c", "b"}, []string{"z", "d", "c", "b"}},
		{"the first ever", []string{"", "d"}, []string{"z", "d", ""}},
	} {
		tl := openLog(t, nil)
		tl.must(tl.Close())
		tl.must(os.Remove(tl.path))
		suffix := func(i int) string { return strings.TrimSuffix(fmt.Sprintf(".%d", i), ".0") }
		for i, user := range c.left {
			if user != "" {
				tl.write(suffix(i), one(user))
			}
		}
		tl.Log = mustOpen(t, tl.path, &Options{MaxSize: oneLine, MaxFiles: 3})
		tl.record("z")
		for i, user := range c.want {
			if user == "" {
				tl.wantUsers(suffix(i))
			} else {
				tl.wantUsers(suffix(i), user)
			}
		}
		if t.Failed() {
			t.Fatalf("crash %s", c.name)
		}
	}
}

// TestRotateTorn: the end of a file that is rotated is the end of a line.
func TestRotateTorn(t *testing.T) {
	tl := openLog(t, nil)
	tl.must(tl.Close())
	tl.write("", strings.Repeat("x", oneLine))
	tl.Log = mustOpen(t, tl.path, &Options{MaxSize: oneLine})
	tl.record("alice")
	tl.wantUsers("", "alice")
	if text, _ := os.ReadFile(tl.path + ".1"); !bytes.HasSuffix(text, []byte("x\n")) {
		t.Errorf("the older file ends in %q, want a newline", text)
	}
}

// TestRotateFails: events are on record although the file cannot be rotated, and somebody is told now and then.
func TestRotateFails(t *testing.T) {
	var told bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&told, nil))
	inBubble(t, &Options{MaxSize: oneLine, MaxFiles: 1, Logger: logger}, func(tl *testLog) {
		tl.must(os.MkdirAll(filepath.Join(tl.path+".1", "in the way"), 0o700))
		tl.record("a", "b", "c")
		tl.wantUsers("", "a", "b", "c")
		if got := strings.Count(told.String(), "not rotated"); got != 1 {
			t.Errorf("told %d times in a second, want once: %s", got, &told)
		}
		time.Sleep(time.Second)
		tl.record("d", "e")
		if got := strings.Count(told.String(), "not rotated"); got != 2 {
			t.Errorf("told %d times in two seconds, want twice: %s", got, &told)
		}
		tl.must(os.RemoveAll(tl.path + ".1"))
		time.Sleep(time.Second)
		tl.record("f")
		tl.wantUsers("", "f")
		tl.wantUsers(".1", "a", "b", "c", "d", "e")
	})
}

// TestRotateLink: it is the file that is renamed, where it is, and not a link to it.
func TestRotateLink(t *testing.T) {
	tl := openLog(t, nil)
	tl.must(tl.Close())
	link := filepath.Join(t.TempDir(), "link.log")
	tl.must(os.Symlink(tl.path, link))
	tl.Log = mustOpen(t, link, &Options{MaxSize: oneLine})
	tl.record("a", "b")
	tl.wantUsers("", "b")
	tl.wantUsers(".1", "a")
}

// TestFollow: others move, delete and truncate the file.
func TestFollow(t *testing.T) {
	inBubble(t, nil, func(tl *testLog) {
		tl.record("a")
		tl.must(os.Rename(tl.path, tl.path+".old"))
		tl.record("b") // was looked after less than a second ago
		time.Sleep(time.Second)
		tl.record("c")
		tl.wantUsers(".old", "a", "b")
		tl.wantUsers("", "c")

		tl.must(os.Remove(tl.path))
		time.Sleep(time.Second)
		tl.record("d")
		tl.wantUsers("", "d")

		tl.must(os.Rename(tl.path, tl.path+".older"))
		tl.write("", "") // logrotate's create
		time.Sleep(time.Second)
		tl.record("e")
		tl.wantUsers("", "e")

		tl.must(os.Truncate(tl.path, 0)) // logrotate's copytruncate
		tl.record("f")
		tl.wantUsers("", "f")
	})
}

// TestFollowSize: a file that others truncated is not rotated for the size that it had.
func TestFollowSize(t *testing.T) {
	inBubble(t, &Options{MaxSize: oneLine}, func(tl *testLog) {
		tl.record("a")
		tl.must(os.Truncate(tl.path, 0))
		time.Sleep(time.Second)
		tl.record("b")
		tl.wantUsers("", "b")
		tl.wantUsers(".1")
	})
}

// TestFollowGone: while there is no place for the file nothing is on record, and Record says so.
func TestFollowGone(t *testing.T) {
	inBubble(t, nil, func(tl *testLog) {
		dir := filepath.Dir(tl.path)
		tl.must(os.RemoveAll(dir))
		time.Sleep(time.Second)
		for range 2 {
			if err := tl.Record(Event{Kind: Login}); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Record: %v, want %v", err, fs.ErrNotExist)
			}
		}
		tl.must(os.Mkdir(dir, 0o700))
		tl.record("alice")
		tl.wantUsers("", "alice")
	})
}
