package turnserver

import (
	"sync/atomic"
	"time"
)

// bandwidthBurst is how much of a bound may come at once.
const bandwidthBurst = 250 * time.Millisecond

// usage is what one user relays, all allocations together: payload of both directions, against the user's bound and
// that of all.
type usage struct {
	own bucket
	all *bucket
}

// newUsages returns what makes the usages of users, each with a bound of its own, in bytes per second, and all with one
// together. Bounds that are not positive are none.
func newUsages(perUser, all int64) func() *usage {
	total := &bucket{rate: all}
	return func() *usage { return &usage{own: bucket{rate: perUser}, all: total} }
}

// take counts n bytes, or reports that they are beyond a bound. Now is the time since any fixed one.
func (u *usage) take(now time.Duration, n int) bool { return u.own.take(now, n) && u.all.take(now, n) }

// bucket is a token bucket in one word, for many goroutines. The zero word is full.
type bucket struct {
	rate int64        // tokens per second; not positive: no bound
	full atomic.Int64 // when it is full again, as a time.Duration (virtual scheduling, ITU-T I.371)
}

// take takes n tokens. A full bucket gives any number, so that a low rate stops no long packet for ever; what is more
// than the burst is then owed.
func (b *bucket) take(now time.Duration, n int) bool {
	if b.rate <= 0 {
		return true
	}
	cost := (int64(n)*int64(time.Second) + b.rate - 1) / b.rate
	for {
		full := b.full.Load()
		missing := max(full-int64(now), 0)
		if missing > 0 && missing+cost > int64(bandwidthBurst) {
			return false
		}
		if b.full.CompareAndSwap(full, int64(now)+missing+cost) {
			return true
		}
	}
}
