package peer

import (
	"context"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func reportMillis(b *testing.B, d time.Duration, unit string) {
	b.ReportMetric(float64(d)/float64(time.Millisecond), unit)
}

// BenchmarkCallSetup measures from the call to chat open at both ends, in turn with
// pion's defaults over the same signaling. 100 of each: -benchtime=100x.
func BenchmarkCallSetup(b *testing.B) {
	s := newFakeServer(b)
	alice, bob := s.join("alice"), s.join("bob")
	first, second := s.joinBaseline("first", webrtc.ICETransportPolicyAll), s.joinBaseline("second", webrtc.ICETransportPolicyAll)
	var ours, theirs []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		caller, callee := connect(b, alice, bob)
		ours = append(ours, time.Since(start))
		caller.Close()
		<-callee.finished
		start = time.Now()
		x, y, _, _ := first.call(context.Background(), second)
		theirs = append(theirs, time.Since(start))
		x.pc.GracefulClose()
		y.pc.GracefulClose()
	}
	reportMillis(b, median(ours), "ms/call")
	reportMillis(b, median(theirs), "ms/call-default")
	b.ReportMetric(float64(median(ours))/float64(median(theirs)), "ratio")
}

// BenchmarkCallSetupRelay is BenchmarkCallSetup through a relay alone. A lost check
// shows in the maximum, not in the median.
func BenchmarkCallSetupRelay(b *testing.B) {
	s := newFakeServer(b)
	s.ice = []protocol.ICEServer{startRelay(b)}
	alice, bob := s.join("alice", relayOnly), s.join("bob", relayOnly)
	var ours []time.Duration
	for b.Loop() {
		start := time.Now()
		caller, callee := connect(b, alice, bob)
		ours = append(ours, time.Since(start))
		caller.Close()
		<-callee.finished
	}
	reportMillis(b, median(ours), "ms/call")
	reportMillis(b, ours[len(ours)*9/10], "ms/call-p90")
	reportMillis(b, ours[len(ours)-1], "ms/call-max")
}

const throughputBytes = 64 << 20

// BenchmarkThroughput moves 64 MiB twice over one stream of a new call, in turn with
// one data channel in pion's defaults. The first transfer is what most calls have:
// there the congestion window grows until something overflows. Whether the defaults
// then wait for a timeout, a second or more, is chance, hence medians of many: at
// least -benchtime=10x on a machine that does nothing else.
func BenchmarkThroughput(b *testing.B) {
	s := newFakeServer(b)
	alice, bob := s.join("alice"), s.join("bob")
	first, second := s.joinBaseline("first", webrtc.ICETransportPolicyAll), s.joinBaseline("second", webrtc.ICETransportPolicyAll)
	var ours, theirs [2][]time.Duration
	for b.Loop() {
		caller, callee := connect(b, alice, bob)
		out, in := openStream(b, caller, callee, "bulk")
		for i := range ours {
			ours[i] = append(ours[i], timeStream(b, out, in))
		}
		caller.Close()
		<-callee.finished
		x, y, dcOut, dcIn := first.call(testContext(b), second)
		sink := sinkDefault(dcIn)
		for i := range theirs {
			theirs[i] = append(theirs[i], timeDefault(b, dcOut, sink))
		}
		x.pc.GracefulClose()
		y.pc.GracefulClose()
	}
	for i, suffix := range []string{"", "-second"} {
		rate := func(d []time.Duration) float64 { return throughputBytes / 1e6 / median(d).Seconds() }
		b.ReportMetric(rate(ours[i]), "MB/s-ours"+suffix)
		b.ReportMetric(rate(theirs[i]), "MB/s-default"+suffix)
		b.ReportMetric(rate(ours[i])/rate(theirs[i]), "ratio"+suffix)
	}
	read, _ := alice.network.granted.get()
	b.ReportMetric(float64(read), "socket-buffer-B")
}

func timeStream(b *testing.B, out, in *Stream) time.Duration {
	start := time.Now()
	go func() {
		chunk := make([]byte, 64<<10)
		for range throughputBytes / len(chunk) {
			if _, err := out.Write(chunk); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(in, throughputBytes), make([]byte, 64<<10)); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// sinkDefault reports on the returned channel each time throughputBytes have come.
func sinkDefault(dc *webrtc.DataChannel) <-chan struct{} {
	done := make(chan struct{}, 1)
	got := 0
	dc.OnMessage(func(m webrtc.DataChannelMessage) {
		if got += len(m.Data); got >= throughputBytes {
			got = 0
			done <- struct{}{}
		}
	})
	return done
}

// timeDefault sends as pion's own flow-control example does.
func timeDefault(b *testing.B, dc *webrtc.DataChannel, done <-chan struct{}) time.Duration {
	const high, low = 1 << 20, 512 << 10
	more := make(chan struct{}, 1)
	dc.SetBufferedAmountLowThreshold(low)
	dc.OnBufferedAmountLow(func() {
		select {
		case more <- struct{}{}:
		default:
		}
	})
	start := time.Now()
	chunk := make([]byte, 16<<10)
	for range throughputBytes / len(chunk) {
		if err := dc.Send(chunk); err != nil {
			b.Fatal(err)
		}
		if dc.BufferedAmount() > high {
			<-more
		}
	}
	<-done
	return time.Since(start)
}

// BenchmarkWaiting reports what a peer costs that waits for calls, beyond the bare
// WebSocket connection and the server's end of it.
func BenchmarkWaiting(b *testing.B) {
	const peers = 200
	for b.Loop() {
		s := newFakeServer(b)
		var bare []*socket
		before, routines := memoryInUse(), runtime.NumGoroutine()
		for i := range peers {
			bare = append(bare, s.bareSocket("bare"+string(rune('A'+i%26))+string(rune('a'+i/26))))
		}
		socketMemory, socketRoutines := memoryInUse()-before, runtime.NumGoroutine()-routines
		before, routines = memoryInUse(), runtime.NumGoroutine()
		ctx, cancel := context.WithCancel(context.Background())
		for i := range peers {
			c := s.join("peer" + string(rune('A'+i%26)) + string(rune('a'+i/26)))
			go c.Accept(ctx)
		}
		memory, started := memoryInUse()-before, runtime.NumGoroutine()-routines
		b.ReportMetric(float64(started-socketRoutines-peers)/peers, "goroutines/peer") // Accept runs in the caller's
		b.ReportMetric(float64(memory)/peers, "B/peer-with-socket")
		b.ReportMetric(float64(memory-socketMemory)/peers, "B/peer")
		cancel()
		for _, sock := range bare {
			sock.conn.Close()
		}
	}
}

func memoryInUse() int64 {
	for range 2 { // what pools hold, of net/http for one, outlives the first
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
