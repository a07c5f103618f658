package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// measureStart says how large the program is and how soon it listens.
func measureStart(ctx context.Context, opts options, t *table) error {
	info, err := os.Stat(opts.sigctl)
	if err != nil {
		return err
	}
	t.said("size of the program", "%.1f MB", float64(info.Size())/1e6)
	s, err := startServer(ctx, opts, serverOptions{})
	if err != nil {
		return err
	}
	defer s.stop()
	t.said("time to listen, first start: CA and certificate are made", "%d ms", s.listening.Milliseconds())
	s.end()
	if err := s.start(ctx); err != nil {
		return err
	}
	t.said("time to listen, later", "%d ms", s.listening.Milliseconds())
	return nil
}

// measureMemory says what an idle connection costs the server.
func measureMemory(ctx context.Context, opts options, t *table) error {
	return errors.Join(
		measureIdle(ctx, opts, t, "memory of an idle connection, plain", true, 9),
		measureIdle(ctx, opts, t, "memory of an idle connection, WSS", false, 18),
	)
}

func measureIdle(ctx context.Context, opts options, t *table, what string, plain bool, bound float64) error {
	s, err := startServer(ctx, opts, serverOptions{users: opts.clients, plain: plain})
	if err != nil {
		return err
	}
	defer s.stop()
	empty, err := s.settled(ctx, 2*time.Second)
	if err != nil {
		return err
	}
	clients, err := s.login(ctx, opts.clients)
	defer closeAll(clients)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.progress, "  %d connections are open, and idle for a minute\n", opts.clients)
	full, err := s.settled(ctx, time.Minute)
	if err != nil {
		return err
	}
	t.atMost(what, float64(full-empty)/float64(opts.clients)/1e3, bound, "KB")
	return nil
}

// settled returns the resident set after a wait and one garbage collection.
func (s *server) settled(ctx context.Context, wait time.Duration) (int64, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(wait):
	}
	if err := s.collect(ctx); err != nil {
		return 0, err
	}
	return s.rss()
}

// The load of measureCPU.
const (
	pairs   = 1000   // so that each sends no more than a session may
	rate    = 10_000 // messages a second, in all
	seconds = 10
)

// measureCPU says what it costs the server to carry a message. Server and load have
// a processor each.
func measureCPU(ctx context.Context, opts options, t *table) error {
	if err := pinSelf("1"); err != nil {
		return err
	}
	defer pinSelf("0-" + strconv.Itoa(runtime.NumCPU()-1))
	var costs []float64
	for range 5 {
		cost, err := relayMessages(ctx, opts)
		if err != nil {
			return err
		}
		fmt.Fprintf(t.progress, "  %.3g µs a message\n", cost)
		costs = append(costs, cost)
	}
	slices.Sort(costs)
	t.atMost("CPU of a relayed message at 10 000/s, plain, median of 5", costs[2], 16, "µs")
	t.said("  least and most of 5", "%.3g to %.3g µs", costs[0], costs[4])
	return nil
}

// pinSelf moves all threads of this process to the processors.
func pinSelf(cpus string) error {
	out, err := exec.Command("taskset", "-a", "-p", "-c", cpus, strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset: %w: %s", err, out)
	}
	return nil
}

// relayMessages runs the load once and returns the cost of a message in µs.
func relayMessages(ctx context.Context, opts options) (float64, error) {
	s, err := startServer(ctx, opts, serverOptions{users: 2 * pairs, plain: true, pin: true})
	if err != nil {
		return 0, err
	}
	defer s.stop()
	clients, err := s.login(ctx, 2*pairs)
	defer closeAll(clients)
	if err != nil {
		return 0, err
	}
	before, err := s.cpu()
	if err != nil {
		return 0, err
	}
	var g errgroup.Group
	start := time.Now()
	for p := range pairs {
		g.Go(func() error {
			return talk(clients[2*p].ws, userName(2*p+1), start.Add(time.Duration(p)*time.Second/rate))
		})
		g.Go(func() error { return listen(clients[2*p+1]) })
	}
	if err = g.Wait(); err != nil {
		err = fmt.Errorf("%d messages a second are too many for this machine, or it has other work to do: %w", rate, err)
	}
	after, cpuErr := s.cpu()
	return float64((after - before).Microseconds()) / (rate * seconds), errors.Join(err, cpuErr)
}

// talk sends its share of the messages, evenly.
func talk(ws *websocket.Conn, to string, start time.Time) error {
	var frame []byte
	for i := range rate * seconds / pairs {
		if i%protocol.MaxCallCandidate == 0 { // a call may have so many
			var err error
			if frame, err = candidate(to, protocol.NewCallID()); err != nil {
				return err
			}
		}
		time.Sleep(time.Until(start.Add(time.Duration(i) * pairs * time.Second / rate)))
		if err := ws.WriteMessage(websocket.TextMessage, frame); err != nil {
			return err
		}
	}
	return nil
}

func candidate(to, call string) ([]byte, error) {
	mid, line := "0", uint16(0)
	return protocol.EncodeClient("", protocol.Candidate{Name: to, Call: call, Candidate: &protocol.CandidateInit{
		Candidate: "candidate:1 1 udp 2130706431 192.0.2.1 50000 typ host", SDPMid: &mid, SDPMLineIndex: &line,
	}})
}

// listen waits until c has got its share of the messages.
func listen(c *client) error {
	tooLong := time.After(3 * seconds * time.Second) // one lost is a fault, not a wait
	for n := range maxMessages {
		select {
		case _, ok := <-c.messages:
			if !ok {
				return c.err
			}
		case <-tooLong:
			return fmt.Errorf("%d of %d messages came", n, maxMessages)
		}
	}
	return nil
}
