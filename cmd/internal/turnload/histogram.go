package turnload

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram has 32 buckets for each power of two of nanoseconds, so a percentile is off by 3 % at most.
const (
	bucketBits = 5
	perOctave  = 1 << bucketBits
	buckets    = (64 - bucketBits) * perOctave
)

// histogram counts times, from many goroutines.
type histogram struct {
	counts  [buckets]atomic.Uint64
	largest atomic.Int64
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))].Add(1)
	for {
		old := h.largest.Load()
		if int64(d) <= old || h.largest.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

func bucketOf(v uint64) int {
	if v < perOctave {
		return int(v)
	}
	octave := bits.Len64(v) - 1 - bucketBits
	return (octave+1)<<bucketBits + int(v>>octave)&(perOctave-1)
}

// highest returns the greatest value of a bucket.
func highest(bucket int) uint64 {
	if bucket < perOctave {
		return uint64(bucket)
	}
	octave := bucket>>bucketBits - 1
	return (uint64(perOctave+bucket&(perOctave-1))+1)<<octave - 1
}

// percentiles reads the histogram when nobody adds to it any more.
func (h *histogram) percentiles() Percentiles {
	var n uint64
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	at := func(q float64) float64 {
		rank, below := uint64(math.Ceil(q*float64(n))), uint64(0)
		for i := range h.counts {
			if below += h.counts[i].Load(); below >= rank && below > 0 {
				return micros(min(time.Duration(highest(i)), time.Duration(h.largest.Load())))
			}
		}
		return 0
	}
	return Percentiles{P50: at(.5), P90: at(.9), P99: at(.99), Max: micros(time.Duration(h.largest.Load()))}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
