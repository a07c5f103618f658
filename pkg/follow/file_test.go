package follow

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// words is a kind of file with one word or more.
var words = &Kind[[]string]{Name: "words", MaxBytes: 1 << 10, Parse: func(text []byte) ([]string, error) {
	if list := strings.Fields(string(text)); len(list) > 0 {
		return list, nil
	}
	return nil, errors.New("no word")
}}

// testFile is a file that a test rewrites while it is watched.
type testFile struct {
	t    *testing.T
	path string
	file *File[[]string]
	told chan error // by Watch
}

// watchFile opens a file and watches it until the test ends. It is for use in a
// synctest bubble.
func watchFile(t *testing.T, text string) *testFile {
	t.Helper()
	f := &testFile{t: t, path: filepath.Join(t.TempDir(), "words"), told: make(chan error, 8)}
	f.write(text)
	var err error
	if f.file, err = Open(f.path, words); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.file.Watch(ctx, func(err error) { f.told <- err })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

func (f *testFile) write(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// wantTold waits until the file was looked at and checks what was said, "" for each
// text taken into use, else a part of an error; and what is in force.
func (f *testFile) wantTold(current string, want ...string) {
	f.t.Helper()
	time.Sleep(Interval)
	synctest.Wait()
	if len(f.told) != len(want) {
		f.t.Fatalf("Watch told %d times, want %q", len(f.told), want)
	}
	for _, want := range want {
		if err := <-f.told; (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			f.t.Errorf("Watch told %v, want %q", err, want)
		}
	}
	if got := strings.Join(f.file.Current(), " "); got != current {
		f.t.Errorf("in force is %q, want %q", got, current)
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := watchFile(t, "a b")
		f.wantTold("a b")
		f.write("c")
		f.wantTold("c", "")
		f.wantTold("c")
	})
}

func TestWatchKeepsWhatWasWhileTheFileIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := watchFile(t, "a")
		for _, broken := range []string{"", "\n"} {
			f.write(broken)
			f.wantTold("a", "words "+f.path+": no word")
			f.wantTold("a") // once per content
		}
		f.write("b")
		f.wantTold("b", "")
	})
}

func TestWatchKeepsWhatWasWhileThereIsNoFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := watchFile(t, "a")
		if err := os.Remove(f.path); err != nil {
			t.Fatal(err)
		}
		f.wantTold("a", "no such file")
		f.wantTold("a")
		f.write("a") // as it was
		f.wantTold("a")
		if err := os.Remove(f.path); err != nil {
			t.Fatal(err)
		}
		f.wantTold("a", "no such file")
	})
}

func TestOpenFaults(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, []byte(strings.Repeat("a", 1025)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file",
		dir:                        "not a regular file",
		os.DevNull:                 "not a regular file",
		large:                      "larger than 1 KiB",
	} {
		if _, err := Open(path, words); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open(%s) = %v, want an error that says %q and names the file", path, err, want)
		}
	}
}
