package redis

import (
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// The id is the database's, not that of who asks or of the address.
func TestID(t *testing.T) {
	server := miniredis.RunT(t)
	id := func(url string) string {
		t.Helper()
		c, err := Open(t.Context(), url, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		id, err := c.ID(t.Context())
		if err != nil || id == "" {
			t.Fatalf("ID = %q, %v", id, err)
		}
		return id
	}
	first := id("redis://" + server.Addr())
	if again := id("redis://" + strings.Replace(server.Addr(), "127.0.0.1", "localhost", 1)); again != first {
		t.Errorf("under another address the id is %s, want %s", again, first)
	}
	for name, url := range map[string]string{
		"another database": "redis://" + server.Addr() + "/1",
		"another server":   "redis://" + miniredis.RunT(t).Addr(),
	} {
		if other := id(url); other == first {
			t.Errorf("%s has the same id", name)
		}
	}
}
