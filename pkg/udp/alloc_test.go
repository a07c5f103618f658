//go:build !race

package udp

import "testing"

// The race detector's build allocates, and its pools forget.

func TestNothingIsAllocatedPerPacket(t *testing.T) {
	eachForm(t, func(t *testing.T, listen func(testing.TB) *Socket) {
		a, b := listen(t), listen(t)
		back := make(chan int, 1)
		echo := NewQueue()
		serve(t, b, func(batch []Packet) {
			for _, p := range batch {
				echo.Add(b, p.From, []byte("head"), p.Data)
			}
			echo.Flush()
		})
		serve(t, a, func(batch []Packet) { back <- len(batch) })
		q := NewQueue()
		body := make([]byte, 172)
		if got := testing.AllocsPerRun(1000, func() {
			for range 4 {
				q.Add(a, b.LocalAddr(), []byte("head"), body)
				q.AddCopy(a, b.LocalAddr(), body)
			}
			q.Flush()
			for n := 0; n < 8; {
				n += <-back
			}
		}); got != 0 {
			t.Errorf("got %v allocations per 8 packets there and back, want 0", got)
		}
		if got := testing.AllocsPerRun(1000, func() {
			if err := a.WriteTo(body, b.LocalAddr()); err != nil {
				t.Error(err)
			}
			<-back
		}); got != 0 {
			t.Errorf("got %v allocations per WriteTo, want 0", got)
		}
	})
}
