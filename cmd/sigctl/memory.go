package main

import (
	"context"
	"runtime/debug"
	"time"
)

// trimEvery is how often trimMemory looks, and the calm that it waits for.
const trimEvery = 15 * time.Second

// trimMemory gives memory back to the system when a wave of logins is over. Each
// login leaves garbage many times the size of the session; the collector reuses
// that room but would keep it for as long as the sessions last.
func trimMemory(ctx context.Context, sessions func() int) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	trimmed, last := 0, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := sessions()
		if now == last && changedMuch(trimmed, now) {
			debug.FreeOSMemory()
			trimmed = now
		}
		last = now
	}
}

// changedMuch reports whether there are a tenth more or fewer sessions than at
// the last trim, and enough of them to matter.
func changedMuch(before, now int) bool {
	diff := max(before, now) - min(before, now)
	return diff >= 100 && diff*10 >= max(before, now)
}
