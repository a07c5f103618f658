package turnserver

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	b := bucket{rate: 1000} // of which a quarter may come at once
	for _, step := range []struct {
		at   time.Duration
		take int
		want bool
	}{
		{0, 100, true},
		{0, 0, true},
		{0, 151, false},
		{0, 150, true},
		{0, 1, false},
		{10 * time.Millisecond, 11, false},
		{10 * time.Millisecond, 10, true},
		{time.Hour, 250, true}, // not more than the burst has come back
		{time.Hour, 1, false},
		{2 * time.Hour, 65_507, true}, // full: whatever it is
		{2*time.Hour + 65*time.Second, 1, false},
		{2*time.Hour + 66*time.Second, 250, true},
		{time.Hour, 1, false}, // a batch whose time was read before
	} {
		if got := b.take(step.at, step.take); got != step.want {
			t.Errorf("at %v: take %d: got %v, want %v", step.at, step.take, got, step.want)
		}
	}
}

func TestBucketsWithoutBound(t *testing.T) {
	for _, rate := range []int64{0, -1} {
		b := bucket{rate: rate}
		for range 3 {
			if !b.take(0, 1<<30) {
				t.Errorf("rate %d: bounded", rate)
			}
		}
	}
}

// Many take at once, and together not more than there is.
func TestBucketIsShared(t *testing.T) {
	b := bucket{rate: 40_000}
	var taken atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5_000 {
				if b.take(0, 1) {
					taken.Add(1)
				}
			}
		})
	}
	all.Wait()
	if got := taken.Load(); got != 10_000 {
		t.Errorf("taken: got %d, want 10000", got)
	}
}
