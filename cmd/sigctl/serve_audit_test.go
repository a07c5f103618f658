package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigctl/sigctl/pkg/audit"
)

// Who allocates as fast as they can fills no audit log: what is beyond a burst is counted, and others' allocations are lines
// of their own still.
func TestAllocationsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var written bytes.Buffer
		a := &app{log: slog.New(slog.DiscardHandler), audit: audit.New(&written)}
		client, relay := netip.MustParseAddrPort("192.0.2.1:4000"), netip.MustParseAddrPort("198.51.100.1:50000")
		allocate := func(user string, times int) {
			for range times {
				a.recordAllocation(user, client, relay)
			}
		}
		allocate("mallory", 5000)
		allocate("alice", 2)
		time.Sleep(2 * time.Second)
		allocate("mallory", 5000)
		if err := a.audit.Close(); err != nil {
			t.Fatal(err)
		}
		lines, sums := map[string]int{}, 0
		for line := range bytes.Lines(written.Bytes()) {
			var e audit.Event
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("audit line %q: %v", line, err)
			}
			if lines[e.User]++; e.Kind != audit.Allocation || e.Repeated == 0 && e.Why != "relay "+relay.String() {
				t.Errorf("audit holds %+v, want an allocation and its relay", e)
			}
			sums += max(e.Repeated, 1)
		}
		// 100 at once, 2 in two seconds, the first one of the flood, and how many more there were
		if lines["mallory"] != 104 || lines["alice"] != 2 || sums != 10002 {
			t.Errorf("audit holds %v lines of %d allocations, want 104 of mallory and 2 of alice, of 10002", lines, sums)
		}
	})
}
