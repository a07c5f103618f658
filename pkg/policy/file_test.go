package policy

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// policyFile is a file that a test rewrites while it is watched.
type policyFile struct {
	t    *testing.T
	path string
	file *File
	told []error // what Watch told since the last look
}

func newPolicyFile(t *testing.T, text string) *policyFile {
	t.Helper()
	f := &policyFile{t: t, path: filepath.Join(t.TempDir(), "policy.yaml")}
	f.write(text)
	file, err := OpenFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	f.file = file
	return f
}

// watch runs Watch until the test ends. It is for use in a synctest bubble.
func (f *policyFile) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.file.Watch(ctx, func(err error) { f.told = append(f.told, err) })
	}()
	f.t.Cleanup(func() { cancel(); <-done })
}

func (f *policyFile) write(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// wantTold waits until the file was looked at and checks what was said: "" for
// each policy taken into use, else a part of an error.
func (f *policyFile) wantTold(want ...string) {
	f.t.Helper()
	time.Sleep(watchInterval)
	synctest.Wait()
	if len(f.told) != len(want) {
		f.t.Fatalf("Watch told %v, want %q", f.told, want)
	}
	for i, err := range f.told {
		if (err == nil) != (want[i] == "") || err != nil && !strings.Contains(err.Error(), want[i]) {
			f.t.Errorf("Watch told %v, want %q", err, want[i])
		}
	}
	f.told = nil
}

func (f *policyFile) wantMay(user string, want bool) {
	f.t.Helper()
	if got := f.file.Current().Permissions(user, nil, "b") != nil; got != want {
		f.t.Errorf("%s may join: %v, want %v", user, got, want)
	}
}

const (
	forAlice = "rules: [{users: [alice], rooms: [b], allow: [join]}]\n"
	forBob   = "rules: [{users: [bob], rooms: [b], allow: [join]}]\n"
)

func TestWatchFollowsTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPolicyFile(t, forAlice)
		f.watch()
		f.wantTold()
		f.wantMay("alice", true)

		f.write(forBob)
		f.wantTold("")
		f.wantMay("alice", false)
		f.wantMay("bob", true)
		f.wantTold()
	})
}

func TestWatchKeepsThePolicyWhileTheFileIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPolicyFile(t, forAlice)
		f.watch()
		for _, broken := range []string{"rules: [", "", "rules: []"} { // as while an editor writes it
			f.write(broken)
			f.wantTold(f.path)
			f.wantTold() // once per content
			f.wantMay("alice", true)
		}
		f.write(forBob)
		f.wantTold("")
		f.wantMay("bob", true)
	})
}

func TestWatchKeepsThePolicyWhileThereIsNoFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPolicyFile(t, forAlice)
		f.watch()
		if err := os.Remove(f.path); err != nil {
			t.Fatal(err)
		}
		f.wantTold("no such file")
		f.wantTold()
		f.wantMay("alice", true)
		f.write(forAlice) // as it was
		f.wantTold()
		f.write(forBob)
		f.wantTold("")
	})
}

func TestOpenFileFaults(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, []byte(forAlice+strings.Repeat("#", maxText)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file",
		dir:                        "not a regular file",
		os.DevNull:                 "not a regular file",
		large:                      "larger than 1024 KiB",
	} {
		if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("OpenFile(%s) = %v, want an error that says %q and names the file", path, err, want)
		}
	}
}
