// Command turn compares our relay with coturn in one run, and prints a table with
// the ratio of each figure beside its target. It is what "make bench-turn" runs.
//
//	go run ./cmd/bench/turn -sigctl bin/sigctl [-coturn turnserver] [-part latency]
//
// Each server has one core, the load, which is "sigctl bench turn", another. They
// take turns several times, and the median counts: machines differ and are noisy.
// A miss is a reason to look, not a failure. The exit code is 1 if a part could not be
// measured, and 2 if there is no such part. On a machine that has other work to do, -realtime
// makes it wait, as root. It needs Linux, taskset, and about five minutes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/sigctl/sigctl/cmd/internal/parts"
)

type options struct {
	sigctl, coturn string
	rounds         int
	allocations    int
	realtime       bool
}

// limit bounds the whole run.
const limit = 10 * time.Minute

func main() {
	var opts options
	flag.StringVar(&opts.sigctl, "sigctl", "bin/sigctl", "our relay, and the load")
	flag.StringVar(&opts.coturn, "coturn", "turnserver", "coturn's server")
	flag.IntVar(&opts.rounds, "rounds", 5, "how often each figure is measured")
	flag.IntVar(&opts.allocations, "allocations", 10_000, "idle allocations for the memory figures")
	flag.BoolVar(&opts.realtime, "realtime", false, "run servers and load before all other programs")
	names := flag.String("part", "", "measure only these parts, separated by commas")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := newContest(opts)
	picked, err := parts.Pick(measures(c), *names)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := run(ctx, c, picked); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measures are all parts, in the order of the table.
func measures(c *contest) []parts.Part {
	part := func(name, about string, run func(context.Context, *contest) error) parts.Part {
		return parts.Part{Name: name, About: about, Run: func(ctx context.Context) error { return run(ctx, c) }}
	}
	return []parts.Part{
		part("cpu", "CPU time per packet; three minutes", measureCPU),
		part("rate", "the highest rate without loss; a minute", measureRate),
		part("latency", "at half of coturn's rate; a minute", measureLatency),
		part("memory", "what an idle allocation costs; half a minute", measureMemory),
	}
}

func run(ctx context.Context, c *contest, picked []parts.Part) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	defer c.close()
	err := parts.Run(ctx, os.Stderr, picked)
	c.print(os.Stdout)
	return err
}
