package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const forAlice = "rules: [{users: [alice], rooms: [b], allow: [join]}]\n"

// How a file is followed is tested in package follow.
func TestOpenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	for _, tt := range []struct{ name, text, want string }{
		{"good", forAlice, ""},
		{"broken", "rules: [", "policy " + path + ": line 1"},
		{"as long as can be", forAlice + strings.Repeat("#", maxText-len(forAlice)), ""},
		{"too long", forAlice + strings.Repeat("#", maxText-len(forAlice)+1), path + " is larger than 1024 KiB"},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := OpenFile(path)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
		if err == nil && f.Current().Permissions("alice", nil, "b") == nil {
			t.Errorf("%s: alice may not join", tt.name)
		}
	}
}
