package turnserver

import (
	"sync/atomic"
	"time"
)

// bandwidthBurst is how much of a bound may come at once.
const bandwidthBurst = 250 * time.Millisecond

// bandwidth is what may be relayed, in bytes of payload per second. Bounds that are not positive are none.
type bandwidth struct {
	now      func() time.Duration // the time that buckets go by
	perUser  int64
	requests int64 // of a user, in tokens per second: see requestCost
	all      bucket
}

func newBandwidth(perUser, all int64) *bandwidth {
	begun := time.Now()
	return &bandwidth{
		now: func() time.Duration { return time.Since(begun) }, perUser: perUser, all: bucket{rate: all, burst: bandwidthBurst},
	}
}

// usage is what one user relays, all allocations together and both directions, and asks for.
type usage struct {
	own      bucket
	all      *bucket // of all users
	requests bucket
}

func (b *bandwidth) newUsage() *usage {
	return &usage{
		own: bucket{rate: b.perUser, burst: bandwidthBurst}, all: &b.all,
		requests: bucket{rate: b.requests, burst: requestBurst},
	}
}

// untilFull is how long the usage goes on to matter: one that is full is like a new one.
func (u *usage) untilFull(now time.Duration) time.Duration {
	return max(u.own.untilFull(now), u.requests.untilFull(now))
}

// take counts n bytes, or reports that they are beyond a bound, and counts nothing.
func (u *usage) take(now time.Duration, n int) bool {
	if !u.own.take(now, n) {
		return false
	}
	if u.all.take(now, n) {
		return true
	}
	u.own.giveBack(n)
	return false
}

// bucket is a token bucket in one word, for many goroutines. The zero word is full.
type bucket struct {
	rate  int64         // tokens per second; not positive: no bound
	burst time.Duration // how much of that may come at once
	full  atomic.Int64  // when it is full again, as a time.Duration (virtual scheduling, ITU-T I.371)
}

// take takes n tokens. A full bucket gives any number, so that a low rate stops no long packet for ever; what is more
// than the burst is then owed.
func (b *bucket) take(now time.Duration, n int) bool {
	if b.rate <= 0 {
		return true
	}
	cost := b.cost(n)
	for {
		full := b.full.Load()
		missing := max(full-int64(now), 0)
		if missing > 0 && missing+cost > int64(b.burst) {
			return false
		}
		if b.full.CompareAndSwap(full, int64(now)+missing+cost) {
			return true
		}
	}
}

// has reports whether n tokens could be taken.
func (b *bucket) has(now time.Duration, n int) bool {
	missing := max(b.full.Load()-int64(now), 0)
	return b.rate <= 0 || missing == 0 || missing+b.cost(n) <= int64(b.burst)
}

// giveBack undoes a take.
func (b *bucket) giveBack(n int) {
	if b.rate > 0 {
		b.full.Add(-b.cost(n))
	}
}

// cost is how long it takes until n tokens have come back.
func (b *bucket) cost(n int) int64 { return (int64(n)*int64(time.Second) + b.rate - 1) / b.rate }

// untilFull is how long the bucket goes on to matter: a full one is like a new one.
func (b *bucket) untilFull(now time.Duration) time.Duration {
	return max(time.Duration(b.full.Load())-now, 0)
}
