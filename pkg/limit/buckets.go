package limit

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Buckets are token buckets by key, bounded in number. They are safe for concurrent use.
//
// The bucket that was used least lately makes room for a new key. Nobody gains by using so many keys that their own are
// forgotten: a new key begins with no more tokens than any bucket had that made room. As long as that happens to
// buckets that are full again, new keys begin full. An attacker who uses more keys than there are buckets within
// Burst / PerSecond seconds makes newcomers wait, at most that long; to have as many address groups takes an IPv6 /40
// (of 65536 buckets), or that many machines.
type Buckets[K comparable] struct {
	// set at construction
	rate Rate

	// guarded by mu
	mu      sync.Mutex
	buckets *simplelru.LRU[K, Bucket]
	newest  Bucket // what a new key begins with
}

// NewBuckets returns up to size buckets, at least one, all of rate r.
func NewBuckets[K comparable](r Rate, size int) *Buckets[K] {
	b := &Buckets[K]{rate: r}
	b.buckets, _ = simplelru.NewLRU(max(size, 1), func(_ K, gone Bucket) {
		if gone.full.After(b.newest.full) {
			b.newest = gone
		}
	})
	return b
}

// Take takes n tokens of key's bucket and returns 0. If there are not that many it takes none and returns how long it
// is until there are, Never if there will not be.
func (b *Buckets[K]) Take(key K, n int) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.forgetFullLocked(now)
	bucket, ok := b.buckets.Get(key)
	if !ok {
		bucket = b.newest
	}
	wait = bucket.Take(now, b.rate, n)
	b.buckets.Add(key, bucket)
	return wait
}

// forgetFullLocked frees the memory of buckets that are full again: one that begins anew is full, too.
// It drops more of them than a Take adds, so there are few beside those that are in use.
func (b *Buckets[K]) forgetFullLocked(now time.Time) {
	for range 2 {
		if _, bucket, ok := b.buckets.GetOldest(); !ok || bucket.full.After(now) {
			return
		}
		b.buckets.RemoveOldest()
	}
}
