package limit

import (
	"math"
	"time"
)

// Never is the wait of what will not be possible: more tokens than the burst, or a rate that lets nothing through.
const Never = time.Duration(math.MaxInt64)

// Rate is how fast tokens come back, and how many there are at most. One without PerSecond or without Burst lets
// nothing through.
type Rate struct {
	PerSecond float64
	Burst     int
}

// Bucket is one token bucket. The zero Bucket is full. It is not safe for concurrent use.
type Bucket struct {
	// full is when the bucket would be full again: all of its state, because the tokens that are missing now are
	// those that come back until then (ITU-T I.371, the virtual scheduling algorithm).
	full time.Time
}

// Take takes n tokens at the time now and returns 0. If there are not that many it takes none and returns how long it
// is until there are, Never if there will not be. A clock that is put back makes the bucket empty at worst.
func (b *Bucket) Take(now time.Time, r Rate, n int) (wait time.Duration) {
	if n <= 0 {
		return 0
	}
	if n > r.Burst || !(r.PerSecond > 0) {
		return Never
	}
	whole := r.time(r.Burst)
	missing := min(max(b.full.Sub(now), 0), whole) // more than whole: the clock was put back, or the rate changed
	if missing += r.time(n); missing > whole {
		return missing - whole
	}
	b.full = now.Add(missing)
	return 0
}

// time is how long it takes until n tokens have come back, at most 73 years: sums of that still are Durations.
func (r Rate) time(n int) time.Duration {
	return time.Duration(min(float64(n)/r.PerSecond*float64(time.Second), 1<<61))
}
