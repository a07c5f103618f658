//go:build unix

package main

import (
	"os"
	"strings"
	"testing"
)

// The directory of another user is refused. What belongs to root is another's for
// everybody else; root's own case needs a file of somebody else.
func TestDataDirOfAnotherUser(t *testing.T) {
	dir := "/"
	if os.Geteuid() == 0 {
		dir = t.TempDir()
		if err := os.Chown(dir, 65534, -1); err != nil {
			t.Fatal(err)
		}
	}
	_, err := openDataDir(dir)
	if err == nil || !strings.Contains(err.Error(), "belongs to another user") || exitCode(err) != exitUsage {
		t.Errorf("openDataDir: %v, exit code %d, want a refusal and %d", err, exitCode(err), exitUsage)
	}
}
