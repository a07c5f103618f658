package user_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/sigctl/sigctl/pkg/user"
	"github.com/sigctl/sigctl/pkg/user/usertest"
)

// childStore is the environment variable that makes this test binary a process
// that adds users to the store at its value, until it is killed.
const childStore = "SIGCTL_TEST_CHILD_STORE"

// addUntilKilled prints each user's name once the store has it.
func addUntilKilled(path string) {
	store, err := user.OpenBolt(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		u, err := user.New(fmt.Sprintf("pid%d.%d", os.Getpid(), i), "password", user.MinimalParams)
		if err == nil {
			err = store.Add(context.Background(), u)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(u.Name, u.Hash)
	}
}

// TestBoltSurvivesKill kills a process while it writes, several times on one
// file, and wants every user that it reported.
func TestBoltSurvivesKill(t *testing.T) {
	const rounds, most = 6, 60
	path := newBoltPath(t)
	reported := map[string]string{} // hash by name
	for range rounds {
		for name, hash := range runChild(t, path, rand.IntN(most)) {
			reported[name] = hash
		}
		b := openBolt(t, path)
		checkReported(t, b, reported, rounds)
		usertest.Add(t, b, "after")
		if err := b.Delete(t.Context(), "after"); err != nil {
			t.Error(err)
		}
		b.Close()
	}
	if len(reported) == 0 {
		t.Error("no child reported a user")
	}
}

// runChild kills a child after n reports, and returns all it made.
func runChild(t *testing.T, path string, n int) map[string]string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childStore+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reports := map[string]string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var name, hash string
		if _, err := fmt.Sscan(lines.Text(), &name, &hash); err != nil {
			t.Errorf("read report %q: %v", lines.Text(), err)
		}
		reports[name] = hash
		if len(reports) > n { // once; what was in the pipe follows
			cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return reports
}

func checkReported(t *testing.T, s user.Store, reported map[string]string, rounds int) {
	t.Helper()
	users, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, u := range users {
		found[u.Name] = u.Hash
	}
	for name, hash := range reported {
		if found[name] != hash {
			t.Errorf("user %s was reported, and is lost: hash %q, want %q", name, found[name], hash)
		}
	}
	// Each child may have stored one more than it could report.
	if extra := len(found) - len(reported); extra > rounds {
		t.Errorf("%d users were never reported, want at most %d", extra, rounds)
	}
}
