package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sigctl/sigctl/peer"
)

// measureSetup runs the peer's benchmark, which has pion's defaults beside ours.
func measureSetup(ctx context.Context, _ options, t *table) error {
	setup, err := goBench(ctx, "CallSetup", "100x")
	if err != nil {
		return err
	}
	t.said("call setup, offer to chat open at both ends, median of 100", "%.2f ms (pion's defaults %.2f ms)", setup["ms/call"], setup["ms/call-default"])
	t.atMost("  as a ratio to pion's defaults with trickle", setup["ratio"], 0.7, "×")
	return nil
}

// measureThroughput runs the peer's benchmark, which has pion's defaults beside ours.
func measureThroughput(ctx context.Context, _ options, t *table) error {
	throughput, err := goBench(ctx, "Throughput", "15x")
	if err != nil {
		return err
	}
	t.said("data channel throughput of a new call, median of 15", "%.0f MB/s (pion's defaults %.0f MB/s), sockets of %.0f KiB",
		throughput["MB/s-ours"], throughput["MB/s-default"], throughput["socket-buffer-B"]/1024)
	t.atLeast("  as a ratio, where rmem_max is 4 MiB", throughput["ratio"], 2.2, "×")
	t.said("  as a ratio, the second transfer of a call", "%.2f ×", throughput["ratio-second"])
	return nil
}

// measureWaiting runs the peer's benchmark.
func measureWaiting(ctx context.Context, _ options, t *table) error {
	waiting, err := goBench(ctx, "Waiting", "1x")
	if err != nil {
		return err
	}
	t.said("a peer that waits for calls, beyond its WebSocket", "%.0f goroutine, %.0f KB", waiting["goroutines/peer"], waiting["B/peer"]/1e3)
	return nil
}

// goBench runs one benchmark of package peer and returns its metrics by unit.
func goBench(ctx context.Context, name, times string) (map[string]float64, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^Benchmark"+name+"$", "-benchtime", times, "./peer")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark"+name) {
			continue
		}
		metrics := map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 { // after name and count: value, unit
			if metrics[fields[i+1]], err = strconv.ParseFloat(fields[i], 64); err != nil {
				return nil, fmt.Errorf("%s: %w", lines.Text(), err)
			}
		}
		return metrics, nil
	}
	return nil, fmt.Errorf("no result of %s in:\n%s", name, out)
}

// The load of measureRelayCall. A call takes an offer and an answer, and a session may send twenty of
// them at once, then five a second: several pairs of peers share the calls.
const (
	relayPairs   = 10
	callsPerPair = 10
)

// measureRelayCall times calls through the server's own relay, both ends relay only, over plain
// signaling.
func measureRelayCall(ctx context.Context, opts options, t *table) error {
	s, err := startServer(ctx, opts, serverOptions{users: 2 * relayPairs, plain: true})
	if err != nil {
		return err
	}
	defer s.stop()
	var took []time.Duration
	for pair := range relayPairs {
		times, err := s.timeCalls(ctx, 2*pair, 2*pair+1)
		if err != nil {
			return err
		}
		took = append(took, times...)
	}
	slices.Sort(took)
	t.atMost("call setup, relay only, median of 100", milliseconds(took[len(took)/2]), 50, "ms")
	t.said("  slowest of 100", "%.3g ms", milliseconds(took[len(took)-1]))
	return nil
}

// timeCalls signs in two users and times calls of the first to the second.
func (s *server) timeCalls(ctx context.Context, from, to int) (took []time.Duration, err error) {
	caller, err := s.dial(ctx, from)
	if err != nil {
		return nil, err
	}
	defer caller.Close()
	callee, err := s.dial(ctx, to)
	if err != nil {
		return nil, err
	}
	defer callee.Close()
	for range callsPerPair {
		d, err := timeCall(ctx, caller, callee, userName(to))
		if err != nil {
			return nil, err
		}
		took = append(took, d)
	}
	return took, nil
}

func (s *server) dial(ctx context.Context, i int) (*peer.Client, error) {
	return peer.Dial(ctx, "ws://"+s.addr, &peer.Config{User: userName(i), Password: password, RelayOnly: true, Loopback: true})
}

// timeCall measures until chat is open at both ends, then hangs up.
func timeCall(ctx context.Context, caller, callee *peer.Client, name string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	accepted := make(chan error, 1)
	var theirs *peer.Call
	start := time.Now()
	go func() {
		var err error
		theirs, err = callee.Accept(ctx)
		accepted <- err
	}()
	ours, err := caller.Call(ctx, name)
	if err != nil {
		return 0, err
	}
	defer ours.Close()
	if err := <-accepted; err != nil {
		return 0, err
	}
	took := time.Since(start)
	ours.Close()
	<-theirs.Done()
	return took, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
