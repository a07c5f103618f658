package turnload

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// The tests send few packets: as many as sockets hold while a busy machine runs nobody who reads them.
func small(url string) *Config {
	return &Config{
		Server: url, Credential: func(int) (string, string) { return "user", "password" },
		Allocations: 4, Rate: 2000, Duration: 50 * time.Millisecond,
	}
}

const packets = 100 // of small

// run runs with all the patience that a busy machine needs.
func run(t *testing.T, cfg *Config) *Report {
	t.Helper()
	r, err := newPatient(t, cfg).runAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newPatient(t *testing.T, cfg *Config) *bench {
	t.Helper()
	b, err := newBench(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.quiet = 10 * time.Second
	return b
}

func wantAll(t *testing.T, r *Report) {
	t.Helper()
	// A machine that is too busy to send all in time sends less.
	if r.Sent == 0 || r.Sent > packets || r.Received != r.Sent || r.LostPercent != 0 || r.SendError != "" {
		t.Errorf("sent %d, received %d, lost %v %%, send error %q, want up to %d, none lost", r.Sent, r.Received, r.LostPercent, r.SendError, packets)
	}
	if l := r.Latency; l.P50 <= 0 || l.P90 < l.P50 || l.P99 < l.P90 || l.Max < l.P99 {
		t.Errorf("latency %+v does not ascend", l)
	}
	if r.Allocations != 4 || r.Allocate.Max <= 0 || r.Bind.Max <= 0 {
		t.Errorf("%d allocations, allocate %+v, bind %+v, want 4, with times", r.Allocations, r.Allocate, r.Bind)
	}
}

func TestStream(t *testing.T) {
	for _, size := range []int{MinSize, 173, 1200} {
		for _, direction := range []Direction{Up, Down} {
			cfg := small(newFake(t, nil).tcpURL())
			cfg.Size, cfg.Direction, cfg.Burst = size, direction, 5
			wantAll(t, run(t, cfg))
		}
	}
}

// Bursts that are handed over, and come, in one piece.
func TestOffload(t *testing.T) {
	for _, direction := range []Direction{Up, Down} {
		cfg := small(newFake(t, nil).url())
		cfg.Direction, cfg.Offload, cfg.Burst, cfg.Size = direction, true, 8, 300
		r := run(t, cfg)
		if r.Sent%8 != 0 {
			t.Errorf("%d packets were sent, in bursts of 8", r.Sent)
		}
		wantAll(t, r)
	}
}

func TestLoss(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		relay    func(n int, packet []byte, send func([]byte))
		received uint64 // of ten
	}{
		{"every tenth is dropped", func(n int, p []byte, send func([]byte)) {
			if n%10 != 0 {
				send(p)
			}
		}, 9},
		{"every tenth comes twice, the one before it not at all", func(n int, p []byte, send func([]byte)) {
			if n%10 != 9 {
				send(p)
			}
			if n%10 == 0 {
				send(p)
			}
		}, 9},
		{"every tenth is cut", func(n int, p []byte, send func([]byte)) {
			if n%10 == 0 {
				p = p[:len(p)-1]
			}
			send(p)
		}, 9},
		{"none is dropped, all come twice", func(_ int, p []byte, send func([]byte)) { send(p); send(p) }, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(f *fake) { f.relay = tt.relay })
			b := newPatient(t, small(f.url()))
			b.quiet = maxDrain // what is lost is waited for
			r, err := b.runAll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if lost := (r.Sent / 10) * (10 - tt.received); r.Sent == 0 || r.Received != r.Sent-lost {
				t.Errorf("sent %d, received %d, want %d lost", r.Sent, r.Received, lost)
			}
			if want := 100 * float64(r.Sent-r.Received) / float64(r.Sent); r.LostPercent != want {
				t.Errorf("lost %v %%, want %v", r.LostPercent, want)
			}
			f.wantReleased(4)
		})
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		method stun.Method
		code   int
	}{
		{stun.MethodAllocate, 401},
		{stun.MethodAllocate, 486},
		{stun.MethodChannelBind, 403},
		{stun.MethodCreatePermission, 403},
	} {
		f := newFake(t, func(f *fake) { f.refuse = map[stun.Method]int{tt.method: tt.code} })
		cfg := small(f.url())
		cfg.Indications = tt.method == stun.MethodCreatePermission
		_, err := Run(t.Context(), cfg)
		var refused *ResponseError
		if !errors.As(err, &refused) || refused.Method != tt.method || refused.Code != tt.code {
			t.Errorf("%s answered with %d: got %v", tt.method, tt.code, err)
		}
		if tt.method != stun.MethodAllocate {
			f.wantReleased(4)
		}
	}
}

// A server whose nonces expire is answered with fresh ones, but not for ever.
func TestStaleNonce(t *testing.T) {
	wantAll(t, run(t, small(newFake(t, func(f *fake) { f.stale = 1 }).url())))
	_, err := Run(t.Context(), small(newFake(t, func(f *fake) { f.stale = 100 }).url()))
	var refused *ResponseError
	if !errors.As(err, &refused) || refused.Code != 438 {
		t.Errorf("all nonces stale: got %v", err)
	}
}

// An interrupt ends the load, keeps what was measured, and takes the allocations back.
func TestInterrupt(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	f := newFake(t, func(f *fake) {
		f.relay = func(n int, p []byte, send func([]byte)) {
			send(p)
			if n == 10 {
				interrupt()
			}
		}
	})
	cfg := small(f.url())
	cfg.Duration = time.Hour
	r, err := Run(ctx, cfg)
	if !errors.Is(err, context.Canceled) || r == nil || !r.Interrupted || r.Sent < 10 || r.Allocations != 4 {
		t.Errorf("got %+v, %v, want what was measured", r, err)
	}
	f.wantReleased(4)
}

func TestIdleProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		if CheckPID(os.Getpid()) == nil {
			t.Error("a process is measured where that is not possible")
		}
		return
	}
	cfg := small(newFake(t, nil).url())
	cfg.PID, cfg.Idle = os.Getpid(), 10*time.Millisecond
	r := run(t, cfg)
	if r.CPUPerPacket <= 0 || r.Memory <= 0 || r.MemoryBefore <= 0 {
		t.Errorf("CPU %v µs per packet, memory %d and %d bytes, want some", r.CPUPerPacket, r.MemoryBefore, r.Memory)
	}
	cfg.Duration = -1
	if r := run(t, cfg); r.Sent != 0 || r.Allocations != 4 {
		t.Errorf("without load: %d sent over %d allocations, want none over 4", r.Sent, r.Allocations)
	}
	if CheckPID(1<<30) == nil {
		t.Error("a process that does not exist is measured")
	}
}

func TestFaults(t *testing.T) {
	_, err := Run(t.Context(), &Config{
		Server: "stun:example.com", Allocations: 3, Direction: Relay, Size: 8, Rate: -1, Burst: 1000, Duration: 100 * time.Hour,
	})
	for _, want := range []string{"not a TURN URL", "no credential", "even number", "size of 8", "rate of -1", "bursts of 1000", "100h"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	for _, url := range []string{"", "turn:", "http://example.com", "turns:example.com?transport=udp", "turn:example.com:port"} {
		if CheckServer(url) == nil {
			t.Errorf("%q is taken for a TURN server's", url)
		}
	}
}
