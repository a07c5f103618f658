//go:build integration

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// fakeGo is a go command that compiles 120 packages, one of whose tests fails.
const fakeGo = `#!/bin/sh
case "$1 $2" in
"list "*) echo example.com/p1 ;;
"build "*) echo "go: downloading example.com/p v1.0.0" >&2; for i in $(seq 120); do echo "example.com/p$i" >&2; done ;;
"tool gotestsum") case "$*" in *--version) ;; *) echo "DONE 3 tests, 1 failure in 0.100s"; exit 1 ;; esac ;;
esac
`

// Whoever runs make sees what it is busy with before it has results, and the exit code is the tests'.
func TestMakeTestReportsProgress(t *testing.T) {
	t.Parallel()
	fake := filepath.Join(t.TempDir(), "go")
	if err := os.WriteFile(fake, []byte(fakeGo), 0o755); err != nil {
		t.Fatal(err)
	}
	p := start(t, "make", []string{needProgram(t, "make", "make"), "test", "GO=" + fake, "WITNESS=sh:sh"}, inRoot)
	p.wantExit(2)
	p.wantStatus("^Downloading modules")
	p.wantStatus("^Compiling the tests: .* minutes")
	p.wantStatus("^  100 packages$")
	for _, line := range []string{"^Testing: a line for each package", "^DONE 3 tests, 1 failure"} {
		p.await(p.out, line)
	}
}

// A part of a benchmark can be run alone.
func TestMakeBenchTakesParts(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"bench", "bench-turn"} {
		p := start(t, target, []string{needProgram(t, "make", "make"), "--dry-run", target, "PART=memory"}, inRoot)
		p.wantExit(0)
		p.await(p.out, `-part "memory"$`)
	}
}

// inRoot runs a program where the Makefile is.
func inRoot(c *exec.Cmd) { c.Dir = "../../.." }
