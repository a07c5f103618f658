package udp

import (
	"testing"
	"time"
)

// reads is a number of packets that each of some readers finds when it is woken, and how long that took.
type reads struct {
	packets int
	gap     time.Duration // between two packets
}

func TestCoalescerWaitsWhileManyCome(t *testing.T) {
	const µs = time.Microsecond
	tests := []struct {
		name    string
		readers int
		load    []reads
		want    int // waits
	}{
		{"few", 1, []reads{{1000, 45 * µs}}, 0},
		{"many", 1, []reads{{100, 5 * µs}}, 100 - denseSample},
		{"many to several", 10, []reads{{100, 5 * µs}}, 8}, // once a round of all, but in the first two
		{"a burst", 1, []reads{{10, 45 * µs}, {8, 3 * µs}, {10, 45 * µs}, {8, 3 * µs}, {10, 45 * µs}}, 0},
		{"many, then none, then few", 1, []reads{{denseSample, 5 * µs}, {1, time.Second}, {100, 45 * µs}}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var c Coalescer
			last := make([]uint64, test.readers)
			var now time.Duration
			n, waits := 0, 0
			for _, load := range test.load {
				for range load.packets {
					now += load.gap
					if c.awaits(now, &last[n%test.readers]) {
						waits++
					}
					c.read(1)
					n++
				}
			}
			if waits != test.want {
				t.Errorf("%d of %d woken readers waited, want %d", waits, n, test.want)
			}
		})
	}
}

func TestNilCoalescerNeverWaits(t *testing.T) {
	var c *Coalescer
	var last uint64
	for now := range time.Duration(100) {
		if c.awaits(now, &last) {
			t.Fatal("a reader without a coalescer was to wait")
		}
		c.read(1)
	}
}

// Who waits delivers all the same, in order.
func TestCoalescedReadersGetAll(t *testing.T) {
	eachForm(t, func(t *testing.T, listen func(testing.TB) *Socket) {
		var c Coalescer
		a, b := listen(t), listen(t)
		packets := make(chan string, 4096)
		done := make(chan error, 1)
		go func() {
			done <- c.Serve(b, func(batch []Packet) {
				for _, p := range batch {
					packets <- string(p.Data)
				}
			})
		}()
		q := NewQueue()
		sent := numbered(100, 100, 100)
		for range 20 {
			for _, p := range sent {
				q.AddCopy(a, b.LocalAddr(), []byte(p))
			}
			wantDropped(t, q, 0)
			for i, want := range sent {
				if got := <-packets; got != want {
					t.Fatalf("packet %d: got %s, want %s", i, brief(got), brief(want))
				}
			}
		}
		_ = b.Close()
		wantClosed(t, <-done)
	})
}
