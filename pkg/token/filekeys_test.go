package token

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// childKeys is the environment variable that makes this test binary a process
// that rotates the keys in the file at its value, until it is killed.
const childKeys = "SIGCTL_TEST_CHILD_KEYS"

func TestMain(m *testing.M) {
	if path := os.Getenv(childKeys); path != "" {
		fmt.Fprintln(os.Stderr, rotateUntilKilled(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// rotateUntilKilled prints each key once it signs, and then removes its last.
func rotateUntilKilled(path string) error {
	ctx := context.Background()
	a, err := Open(ctx, FileKeys(path), NewMemorySpender(), nil)
	if err != nil {
		return err
	}
	for last := ""; ; {
		k, err := a.Rotate(ctx)
		if err != nil {
			return err
		}
		fmt.Println(k.ID)
		if last != "" {
			if err := a.Remove(ctx, last); err != nil {
				return err
			}
		}
		last = k.ID
	}
}

// TestFileSurvivesKill kills two processes while they change one file, several
// times, and wants the last key that each reported.
func TestFileSurvivesKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	for range 4 {
		var wait [2]func() string
		for i := range wait {
			wait[i] = startChild(t, path, rand.IntN(20))
		}
		var reported [2]string
		for i := range wait {
			reported[i] = wait[i]()
		}
		a := open(t, FileKeys(path), everything{}, nil)
		for _, id := range reported {
			if _, ok := KeySet(a.Keys()).find(id, a.now()); !ok {
				t.Errorf("key %q was reported, and is lost: %v", id, a.Keys())
			}
		}
		rotate(t, a) // the lock is free
		for _, k := range a.Keys()[1:] {
			if err := a.Remove(t.Context(), k.ID); err != nil {
				t.Errorf("remove: %v", err)
			}
		}
	}
}

// startChild starts a process that is killed after n more reports than one. What
// it returns waits for its end, and returns its last report.
func startChild(t *testing.T, path string, n int) (wait func() string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childKeys+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() (last string) {
		reports := 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			last = lines.Text()
			if reports++; reports > n {
				cmd.Process.Kill()
			}
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
			t.Errorf("the child ended by itself: %v", err)
		}
		return last
	}
}

// TestFileLocked: who waits for the lock can be canceled, and does not wait for
// ever.
func TestFileLocked(t *testing.T) {
	f := fileKeys(filepath.Join(t.TempDir(), "keys"))
	unlock, err := f.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	never := func(s KeySet) (KeySet, error) {
		t.Error("two change the keys at once")
		return s, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*lockPoll)
	defer cancel()
	if err := f.Update(ctx, never); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("update of a locked file: got %v, want %v", err, context.DeadlineExceeded)
	}
	unlock()
	open(t, f, everything{}, nil)
}

// TestFileIsPrivate: it is made so, and one that is not is refused.
func TestFileIsPrivate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	a := open(t, FileKeys(path), everything{}, nil)
	rotate(t, a)
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("%d files, %v, want the keys and the lock", len(files), err)
	}
	for _, name := range []string{"keys", "keys.lock"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v, want 0600", name, info.Mode(), err)
		}
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o610, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := a.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("refresh with mode %v: got %v, want an error that names the file", mode, err)
		}
		if _, err := a.Rotate(t.Context()); err == nil {
			t.Errorf("rotate with mode %v: no error", mode)
		}
	}
}

// TestFileBroken: what is no key set is an error that names the file, and stays.
func TestFileBroken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	for _, text := range []string{"", "s3cret", `{"keys":[]}`, `{"keys":[{"jwk":{"kty":"oct","k":"s3cret"}}]}`, strings.Repeat("x", MaxKeySet+1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), FileKeys(path), everything{}, nil)
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("open %.20q: got %v, want an error that names the file, and not its text", text, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("the file is %.20q, %v, want it as it was", got, err)
		}
	}
	if _, err := Open(t.Context(), FileKeys(filepath.Join(path, "no", "directory")), everything{}, nil); err == nil {
		t.Error("open below a file: no error")
	}
}
