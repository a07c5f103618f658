// Command turn compares our relay with coturn in one run, and prints a table with
// the ratio of each figure beside its target. It is what "make bench-turn" runs.
//
//	go run ./cmd/bench/turn -sigctl bin/sigctl [-coturn turnserver] [-only latency]
//
// Each server has one core, the load, which is "sigctl bench turn", another. They
// take turns several times, and the median counts: machines differ and are noisy.
// A miss is a reason to look, not a failure, so the exit code tells only whether
// everything could be measured. On a machine that has other work to do, -realtime
// makes it wait, as root. It needs Linux, taskset, and about five minutes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

type options struct {
	sigctl, coturn string
	rounds         int
	allocations    int
	realtime       bool
	only           string
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
	flag.StringVar(&opts.only, "only", "", "measure only these, separated by commas: "+strings.Join(names(), ", "))
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := run(ctx, opts); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measures are all that can be asked for, in the order of the table.
var measures = []struct {
	name string
	run  func(context.Context, *contest) error
}{
	{"cpu", measureCPU},
	{"rate", measureRate},
	{"latency", measureLatency},
	{"memory", measureMemory},
}

func names() (names []string) {
	for _, m := range measures {
		names = append(names, m.name)
	}
	return names
}

func run(ctx context.Context, opts options) error {
	c, err := newContest(ctx, opts)
	if err != nil {
		return err
	}
	defer c.close()
	var faults []error
	for _, m := range measures {
		if opts.only != "" && !slices.Contains(strings.Split(opts.only, ","), m.name) {
			continue
		}
		if err := m.run(ctx, c); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", m.name, err))
		}
	}
	c.print(os.Stdout)
	return errors.Join(faults...)
}
