//go:build integration

package e2e

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience ends a test that hangs. No test passes by waiting for it.
const patience = 2 * time.Minute

// sigctl is the path of the binary, set by TestMain.
var sigctl string

// raceExit is the exit code of a binary in which the race detector found
// something.
const raceExit = 66

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "sigctl-e2e-*")
		if err != nil {
			log.Print(err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := build(dir); err != nil {
			log.Print(err)
			return 1
		}
		defer closeBrowsers()
		return m.Run()
	}())
}

// build makes the binary, where any user can run it.
func build(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	sigctl = filepath.Join(dir, "sigctl")
	out, err := exec.Command("go", "build", "-race", "-o", sigctl, "github.com/sigctl/sigctl/cmd/sigctl").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build sigctl (the race detector needs gcc): %w\n%s", err, out)
	}
	return nil
}

// needProgram returns the path of an installed program.
func needProgram(t *testing.T, name, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: install the Debian package %s", name, debianPackage)
	}
	return path
}

func needRoot(t *testing.T, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatalf("this test needs root: %s", why)
	}
}
