// Command bench measures the figures that sigctl is held to and prints them in
// one table, each beside its target. It is what "make bench" runs.
//
//	go run ./cmd/bench -sigctl bin/sigctl [-only memory,cpu]
//
// Machines differ and are noisy: a miss is a reason to look, not a failure, so
// the exit code tells only whether everything could be measured. It reads /proc
// and needs Linux.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

type options struct {
	sigctl  string
	clients int
}

// measures are all that can be asked for, in the order of the table.
var measures = []struct {
	name string
	run  func(context.Context, options, *table) error
}{
	{"start", measureStart},
	{"memory", measureMemory},
	{"cpu", measureCPU},
	{"peer", measurePeer},
}

func main() {
	var opts options
	flag.StringVar(&opts.sigctl, "sigctl", "bin/sigctl", "the program to measure")
	flag.IntVar(&opts.clients, "clients", 5000, "idle connections for the memory figures")
	only := flag.String("only", "", "measure only these, separated by commas: "+strings.Join(names(), ", "))
	flag.Parse()
	if err := run(context.Background(), opts, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, opts options, only string) error {
	var t table
	var faults []error
	for _, m := range measures {
		if only != "" && !slices.Contains(strings.Split(only, ","), m.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring %s …\n", m.name)
		if err := m.run(ctx, opts, &t); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", m.name, err))
		}
	}
	t.print(os.Stdout)
	return errors.Join(faults...)
}

func names() (names []string) {
	for _, m := range measures {
		names = append(names, m.name)
	}
	return names
}
