package turnserver

import (
	"testing"
)

// isKept reports whether a connection counts as one with an allocation: more may wait for it than for a stranger.
func isKept(c client) bool {
	return c.conn.Send(nil, []byte(channelData(0x4000, string(make([]byte, 20<<10)))))
}

// An allocation may end before the guard has told of it: its connection is not kept for it.
func TestEndBeforeOpened(t *testing.T) {
	ts := newTestServer(t, nil)
	ts.over(TCP, "alice").allocate()
	a := ts.only()
	if !isKept(a.client) {
		t.Fatal("the connection of an allocation is not kept")
	}
	a.end()
	ts.guard.opened(a)
	if isKept(a.client) {
		t.Error("the connection is kept after the end of its allocation")
	}
}

// What an end does to the connection it does before there can be another allocation, whose connection is to be kept.
func TestEndBeforeTheNext(t *testing.T) {
	ts := newTestServer(t, nil)
	ts.over(TCP, "alice").allocate()
	a, all := ts.only(), ts.allocations
	all.mu.RLock()
	ended := make(chan struct{})
	go func() { a.end(); close(ended) }()
	until(t, "it waits to take the allocation out", func() bool {
		if all.mu.TryRLock() {
			all.mu.RUnlock()
			return false
		}
		return true
	})
	if all.byClient[a.client.fiveTuple] != a || isKept(a.client) {
		t.Error("the connection is still kept when the allocation is taken out")
	}
	all.mu.RUnlock()
	<-ended
}
