package limit

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestBucket(t *testing.T) {
	var b Bucket
	r := Rate{PerSecond: 5, Burst: 10}
	for _, c := range []struct {
		at   time.Duration
		take int
		want time.Duration
	}{
		{0, 11, Never},
		{0, 0, 0},
		{0, -1, 0},
		{0, 10, 0},
		{0, 1, 200 * time.Millisecond},
		{0, 10, 2 * time.Second}, // nothing was taken
		{199 * time.Millisecond, 1, time.Millisecond},
		{200 * time.Millisecond, 1, 0},
		{200 * time.Millisecond, 1, 200 * time.Millisecond},
		{time.Second, 4, 0},
		{time.Second, 1, 200 * time.Millisecond},
		{time.Hour, 10, 0}, // not more than the burst has come back
		{time.Hour, 1, 200 * time.Millisecond},
		{0, 1, 200 * time.Millisecond}, // the clock was put back
		{200 * time.Millisecond, 1, 200 * time.Millisecond},
	} {
		if got := b.Take(start.Add(c.at), r, c.take); got != c.want {
			t.Errorf("at %v: Take(%d) = %v, want %v", c.at, c.take, got, c.want)
		}
	}
	if size := unsafe.Sizeof(b); size > 32 {
		t.Errorf("a Bucket has %d bytes, want 32 at most", size)
	}
}

// TestBucketRate takes as fast as it can for 1000 s: no rate drifts, whatever its fractions.
func TestBucketRate(t *testing.T) {
	for _, r := range []Rate{{3, 1}, {7, 5}, {0.3, 2}, {1000.0 / 3, 7}, {20, 40}} {
		var b Bucket
		now, taken := start, 0
		for now.Before(start.Add(1000 * time.Second)) {
			wait := b.Take(now, r, 1)
			if wait == 0 {
				taken++
			}
			now = now.Add(wait)
		}
		want := 1000*r.PerSecond + float64(r.Burst)
		if math.Abs(float64(taken)-want) > 1 {
			t.Errorf("%+v: took %d in 1000 s, want %.1f", r, taken, want)
		}
	}
}

func TestBucketExtremes(t *testing.T) {
	for _, c := range []struct {
		rate  Rate
		first time.Duration
		again bool // a second time at once
	}{
		{Rate{}, Never, false},
		{Rate{PerSecond: 1}, Never, false},
		{Rate{Burst: 1}, Never, false},
		{Rate{PerSecond: -1, Burst: 1}, Never, false},
		{Rate{PerSecond: math.NaN(), Burst: 1}, Never, false},
		{Rate{PerSecond: 1e-300, Burst: 1}, 0, false},
		{Rate{PerSecond: math.SmallestNonzeroFloat64, Burst: math.MaxInt}, 0, false},
		{Rate{PerSecond: math.Inf(1), Burst: 1}, 0, true},
		{Rate{PerSecond: math.MaxFloat64, Burst: math.MaxInt}, 0, true},
	} {
		var b Bucket
		if got := b.Take(start, c.rate, 1); got != c.first {
			t.Errorf("%+v: Take = %v, want %v", c.rate, got, c.first)
		}
		if got := b.Take(start, c.rate, 1); (got == 0) != c.again || got < 0 {
			t.Errorf("%+v: Take again = %v, want 0: %v", c.rate, got, c.again)
		}
	}
}

func TestBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBuckets[string](Rate{PerSecond: 1, Burst: 2}, 2)
		want := func(key string, want time.Duration) {
			t.Helper()
			if got := b.Take(key, 1); got != want {
				t.Errorf("Take(%s) = %v, want %v", key, got, want)
			}
		}
		want("a", 0)
		want("a", 0)
		want("a", time.Second)
		want("b", 0)
		want("c", 0) // makes a forgotten, and begins as empty as a was … after the next

		time.Sleep(time.Minute)
		want("d", 0) // everybody is full again: full buckets that are forgotten leave nothing
		want("e", 0)
		want("f", 0)
		want("f", 0)
		want("f", time.Second)
	})
}

// TestBucketsForgotten: many keys, each used once, do not fill the bucket of one.
func TestBucketsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 8
		b := NewBuckets[int](Rate{PerSecond: 1, Burst: 2}, size)
		taken := 0
		for range 100 {
			for key := range size + 1 {
				if b.Take(key, 1) == 0 {
					taken++
				}
			}
		}
		if most := 2 * (size + 1); taken > most {
			t.Errorf("took %d tokens out of %d buckets, want %d at most", taken, size+1, most)
		}
		if got := b.buckets.Len(); got != size {
			t.Errorf("%d buckets are kept, want %d", got, size)
		}
		time.Sleep(2 * time.Second)
		if got := b.Take(size+2, 2); got != 0 {
			t.Errorf("a newcomer after the rush waits %v, want 0", got)
		}
	})
}

func BenchmarkBucket(b *testing.B) {
	var bucket Bucket
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		bucket.Take(now, Rate{PerSecond: 20, Burst: 40}, 1)
	}
}

func BenchmarkBuckets(b *testing.B) {
	buckets := NewBuckets[int](Rate{PerSecond: 20, Burst: 40}, 1<<16)
	b.ReportAllocs()
	key := 0
	for b.Loop() {
		buckets.Take(key%(1<<17), 1)
		key++
	}
}

// TestBucketsForgetFull: keys that are not used any more cost no memory.
func TestBucketsForgetFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBuckets[int](Rate{PerSecond: 1, Burst: 10}, 1000)
		for i := range 500 {
			b.Take(i, 1)
		}
		b.Take(1000, 10)
		time.Sleep(time.Second)
		for range 300 {
			b.Take(1001, 1)
		}
		if n := b.buckets.Len(); n != 2 {
			t.Errorf("%d buckets are remembered, want the 2 that are not full", n)
		}
		if b.Take(1000, 2) == 0 {
			t.Error("a bucket that is not full again was forgotten")
		}
		if wait := b.Take(0, 10); wait != 0 {
			t.Errorf("a bucket that was forgotten is full after %v, want now", wait)
		}
	})
}
