package turnload

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestPercentiles(t *testing.T) {
	h := new(histogram)
	if got := h.percentiles(); got != (Percentiles{}) {
		t.Errorf("of nothing: %+v", got)
	}
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Millisecond)
	}
	h.add(-time.Second) // a clock that went back
	got := h.percentiles()
	for _, c := range []struct {
		name      string
		got, want float64 // µs
	}{{"p50", got.P50, 500e3}, {"p90", got.P90, 900e3}, {"p99", got.P99, 990e3}, {"max", got.Max, 1000e3}} {
		if math.Abs(c.got-c.want) > .035*c.want {
			t.Errorf("%s is %v µs, want %v", c.name, c.got, c.want)
		}
	}
	if got.Max != 1000e3 {
		t.Errorf("the maximum is %v µs, want it exact", got.Max)
	}
}

func TestBuckets(t *testing.T) {
	for _, v := range []uint64{0, 1, 31, 32, 33, 63, 64, 1000, 1 << 20, 1<<63 - 1} {
		b := bucketOf(v)
		if b >= buckets || highest(b) < v || b > 0 && highest(b-1) >= v {
			t.Errorf("%d is in bucket %d, which ends at %d", v, b, highest(b))
		}
	}
}

func TestHighestRate(t *testing.T) {
	for _, limit := range []float64{0, 500, 20_000, 123_456, 2 * MaxRate} {
		tries := 0
		got, err := highestRate(20_000, func(rate float64) (bool, error) {
			tries++
			return rate <= limit, nil
		})
		want := min(max(limit, slowest), MaxRate)
		if err != nil || got > want || got < want/precision || tries > 25 {
			t.Errorf("limit %v: got %v after %d tries, %v", limit, got, tries, err)
		}
	}
	fault := errors.New("fault")
	if _, err := highestRate(1, func(float64) (bool, error) { return false, fault }); err != fault {
		t.Errorf("got %v, want the fault", err)
	}
}

// What is missing is waited for as long as something comes, and no longer.
func TestDrain(t *testing.T) {
	for _, tt := range []struct {
		name  string
		every time.Duration // a packet comes, of 100
		want  time.Duration
	}{
		{"all come", 10 * time.Millisecond, time.Second},
		{"none comes", time.Hour, defaultQuiet},
		{"few come", 200 * time.Millisecond, maxDrain},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &pass{sent: 100, complete: make(chan struct{}, 1)}
			p.awaited.Store(p.sent)
			stop := make(chan struct{})
			go func() {
				tick := time.NewTicker(tt.every)
				defer tick.Stop()
				for p.received.Load() < p.sent {
					select {
					case <-stop:
						return
					case <-tick.C:
						p.checkComplete(p.received.Add(1))
					}
				}
			}()
			began := time.Now()
			err := p.drain(t.Context(), defaultQuiet)
			close(stop)
			if took := time.Since(began); err != nil || took < tt.want || took > tt.want+defaultQuiet {
				t.Errorf("%s: ended after %v, %v, want %v", tt.name, took, err, tt.want)
			}
		})
	}
}

func FuzzPayload(f *testing.F) {
	frame, _ := channelFrame(20, false)
	f.Add(frame)
	f.Add([]byte("\x00\x17\x00\x18\x21\x12\xa4\x42............\x00\x13\x00\x14...................."))
	f.Add([]byte("\x40\x00\xff\xff"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if data, ok := payload(frame); ok && len(data) > len(frame)-channelHead {
			t.Errorf("%d bytes of payload in a frame of %d", len(data), len(frame))
		}
		if len(frame) >= 4 {
			if n := frameSize(frame); n < 4 || n > stunHead+1<<16 {
				t.Errorf("a frame of %d bytes", n)
			}
		}
	})
}
