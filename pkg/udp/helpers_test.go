package udp

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
)

// forms are the ways that a socket can work; on Linux the two differ.
var forms = []struct {
	name string
	form func(*Socket) (driver, error)
}{{"native", newDriver}, {"plain", newPlain}}

var loopbacks = []string{"127.0.0.1:0", "[::1]:0"}

// eachForm runs a test against every form and family.
func eachForm(t *testing.T, test func(t *testing.T, listen func(testing.TB) *Socket)) {
	for _, f := range forms {
		for _, at := range loopbacks {
			t.Run(f.name+" "+at, func(t *testing.T) {
				test(t, func(t testing.TB) *Socket { return mustListen(t, at, nil, f.form) })
			})
		}
	}
}

func mustListen(t testing.TB, at string, o *Options, form func(*Socket) (driver, error)) *Socket {
	t.Helper()
	s, err := listen(netip.MustParseAddrPort(at), o, form)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close %v: %v", s.LocalAddr(), err)
		}
	})
	return s
}

// serve runs Serve until the socket is closed, at the end of the test if not before.
func serve(t testing.TB, s *Socket, handle func([]Packet)) (ended <-chan error) {
	done := make(chan error, 1)
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		done <- s.Serve(handle)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-exited
	})
	return done
}

// received is a copy of a packet.
type received struct {
	from netip.AddrPort
	data string
}

// receive serves a socket and passes on what comes.
func receive(t testing.TB, s *Socket) <-chan received {
	packets := make(chan received, 4096)
	serve(t, s, func(batch []Packet) {
		if len(batch) == 0 || len(batch) > batchLen {
			t.Errorf("handler got %d packets, want 1 to %d", len(batch), batchLen)
		}
		for _, p := range batch {
			packets <- received{p.From, string(p.Data)}
		}
	})
	return packets
}

// wantFrom takes the next packets and compares them.
func wantFrom(t testing.TB, packets <-chan received, from netip.AddrPort, want ...string) {
	t.Helper()
	for i, data := range want {
		got := <-packets
		if got.from != from || got.data != data {
			t.Fatalf("packet %d: got %v from %v, want %v from %v", i, brief(got.data), got.from, brief(data), from)
		}
	}
}

func wantDropped(t testing.TB, q *Queue, want int) {
	t.Helper()
	if got := q.Flush(); got != want {
		t.Fatalf("dropped: got %d, want %d", got, want)
	}
}

func wantClosed(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, net.ErrClosed) {
		t.Fatalf("got %v, want net.ErrClosed", err)
	}
}

// numbered makes n packets of a size, each different from the others; the last is cut to lastSize.
func numbered(n, size, lastSize int) []string {
	packets := make([]string, n)
	for i := range packets {
		b := make([]byte, size)
		for j := range b {
			b[j] = byte(i*7 + j*13)
		}
		packets[i] = string(b)
	}
	packets[n-1] = packets[n-1][:lastSize]
	return packets
}

func brief(s string) string {
	if len(s) <= 16 {
		return string(slices.Concat([]byte(`"`), []byte(s), []byte(`"`)))
	}
	return brief(s[:16]) + "…"
}
