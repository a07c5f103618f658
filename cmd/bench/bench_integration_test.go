//go:build integration

package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The load stays within the limits of the server, which refuses what comes too often.
func TestRelayCallsAreWithinLimits(t *testing.T) {
	t.Parallel()
	sigctl := filepath.Join(t.TempDir(), "sigctl")
	if out, err := exec.Command("go", "build", "-race", "-o", sigctl, "github.com/sigctl/sigctl/cmd/sigctl").CombinedOutput(); err != nil {
		t.Fatalf("build sigctl: %v\n%s", err, out)
	}
	var progress bytes.Buffer
	figures := &table{progress: &progress}
	if err := measureRelayCall(t.Context(), options{sigctl: sigctl}, figures); err != nil {
		t.Fatal(err)
	}
	if len(figures.rows) == 0 || !strings.Contains(progress.String(), figures.rows[0].value) {
		t.Errorf("the figures %v are not printed at once: %q", figures.rows, &progress)
	}
}
