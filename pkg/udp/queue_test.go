package udp

import (
	"net/netip"
	"strings"
	"testing"
)

func TestInterleavedSocketsKeepTheirOrder(t *testing.T) {
	eachForm(t, func(t *testing.T, listen func(testing.TB) *Socket) {
		senders := []*Socket{listen(t), listen(t), listen(t)}
		targets := []*Socket{listen(t), listen(t)}
		arrived := []<-chan received{receive(t, targets[0]), receive(t, targets[1])}
		q := NewQueue()
		sent := numbered(30, 600, 20)
		for _, p := range sent {
			for _, from := range senders {
				for _, to := range targets {
					q.Add(from, to.LocalAddr(), []byte(p[:4]), []byte(p[4:]))
				}
			}
		}
		wantDropped(t, q, 0)
		for _, packets := range arrived {
			next := map[netip.AddrPort]int{}
			for range len(sent) * len(senders) {
				got := <-packets
				if want := sent[next[got.from]]; got.data != want {
					t.Fatalf("packet %d from %v: got %v, want %v", next[got.from], got.from, brief(got.data), brief(want))
				}
				next[got.from]++
			}
		}
	})
}

func TestRuns(t *testing.T) {
	a := mustListen(t, "127.0.0.1:0", nil, newDriver)
	b := mustListen(t, "127.0.0.1:0", nil, newDriver)
	for _, s := range []*Socket{a, b} {
		s.segment.Store(1472)
	}
	type add struct {
		from *Socket
		to   string
		size int
	}
	tests := []struct {
		name string
		add  []add
		want []int // packets of each run
	}{
		{"one size", []add{{a, "1", 9}, {a, "1", 9}, {a, "1", 9}}, []int{3}},
		{"a shorter one ends it", []add{{a, "1", 9}, {a, "1", 5}, {a, "1", 5}}, []int{2, 1}},
		{"a longer one begins anew", []add{{a, "1", 5}, {a, "1", 9}, {a, "1", 9}}, []int{1, 2}},
		{"two destinations", []add{{a, "1", 9}, {a, "2", 9}, {a, "1", 9}, {a, "2", 9}}, []int{2, 2}},
		{"two sockets", []add{{a, "1", 9}, {b, "1", 9}, {a, "1", 9}, {b, "1", 9}}, []int{2, 2}},
		{"empty packets", []add{{a, "1", 0}, {a, "1", 0}, {a, "1", 9}, {a, "1", 0}}, []int{1, 1, 1, 1}},
		{"too long for a segment", []add{{a, "1", 1473}, {a, "1", 1473}}, []int{1, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := NewQueue()
			for _, add := range test.add {
				q.AddCopy(add.from, netip.MustParseAddrPort("127.0.0.1:"+add.to), make([]byte, add.size))
			}
			if q.load.nRuns != len(test.want) {
				t.Fatalf("runs: got %d, want %d", q.load.nRuns, len(test.want))
			}
			for i, want := range test.want {
				if got := q.load.runs[i].packets; got != want {
					t.Errorf("run %d: got %d packets, want %d", i, got, want)
				}
			}
		})
	}
}

func TestRunStaysADatagram(t *testing.T) {
	a := mustListen(t, "127.0.0.1:0", nil, newDriver)
	a.segment.Store(1472)
	q := NewQueue()
	for range batchLen {
		q.Add(a, a.LocalAddr(), nil, make([]byte, 1472))
	}
	if got, want := q.load.runs[0].packets, maxPayload/1472; got != want {
		t.Fatalf("first run: got %d packets, want %d", got, want)
	}
}

func TestFullQueueSendsItself(t *testing.T) {
	eachForm(t, func(t *testing.T, listen func(testing.TB) *Socket) {
		a, b := listen(t), listen(t)
		packets := receive(t, b)
		q := NewQueue()
		few := numbered(batchLen+1, 10, 10)
		for _, p := range few {
			q.AddCopy(a, b.LocalAddr(), []byte(p))
		}
		wantFrom(t, packets, a.LocalAddr(), few[:batchLen]...)
		wantDropped(t, q, 0)
		wantFrom(t, packets, a.LocalAddr(), few[batchLen])
		long := numbered(2, maxPayload, maxPayload) // more bytes than copies are kept
		for _, p := range long {
			q.AddCopy(a, b.LocalAddr(), []byte(p))
		}
		wantFrom(t, packets, a.LocalAddr(), long[0])
		wantDropped(t, q, 0)
		wantFrom(t, packets, a.LocalAddr(), long[1])
	})
}

func TestUnsendableIsDropped(t *testing.T) {
	eachForm(t, func(t *testing.T, listen func(testing.TB) *Socket) {
		a, b, closed := listen(t), listen(t), listen(t)
		packets := receive(t, b)
		if err := closed.Close(); err != nil {
			t.Fatal(err)
		}
		otherFamily := "[::1]:9"
		if a.is6 {
			otherFamily = "127.0.0.1:9"
		}
		q := NewQueue()
		q.Add(a, netip.MustParseAddrPort(otherFamily), nil, []byte("x"))
		q.Add(a, netip.AddrPort{}, nil, []byte("x"))
		q.Add(a, netip.AddrPortFrom(b.LocalAddr().Addr(), 0), nil, []byte("x"))
		q.Add(a, b.LocalAddr(), []byte("x"), make([]byte, maxPayload))
		q.AddCopy(a, b.LocalAddr(), make([]byte, maxPayload+1))
		q.AddCopy(closed, b.LocalAddr(), []byte("x"))
		q.AddCopy(closed, b.LocalAddr(), []byte("x"))
		q.Add(a, b.LocalAddr(), nil, []byte("good"))
		wantDropped(t, q, 7)
		wantFrom(t, packets, a.LocalAddr(), "good")
		wantDropped(t, q, 0)
	})
}

func TestLongHeadPanics(t *testing.T) {
	a := mustListen(t, "127.0.0.1:0", nil, newDriver)
	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, "65 bytes") {
			t.Fatalf("got panic %q, want one that says 65 bytes", text)
		}
	}()
	NewQueue().Add(a, a.LocalAddr(), make([]byte, MaxHead+1), nil)
}

func TestEmptyQueueKeepsNothing(t *testing.T) {
	a := mustListen(t, "127.0.0.1:0", nil, newDriver)
	q := NewQueue()
	q.Add(a, a.LocalAddr(), []byte("head"), []byte("body"))
	l := q.load
	wantDropped(t, q, 0)
	if q.load != nil || l.packets[0].body != nil || l.runs[0] != (run{}) || l.lanes[0] != (lane{}) {
		t.Fatalf("after Flush: got %+v, want no references", l.packets[0])
	}
}
