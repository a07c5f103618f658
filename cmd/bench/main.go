// Command bench measures the figures that sigctl is held to and prints each beside its target, as it
// goes and in one table at the end. It is what "make bench" runs.
//
//	go run ./cmd/bench -sigctl bin/sigctl [-part memory,cpu]
//
// Machines differ and are noisy: a miss is a reason to look, not a failure. The exit code is 1 if a
// part could not be measured, and 2 if there is no such part. It reads /proc and needs Linux.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/sigctl/sigctl/cmd/internal/parts"
)

type options struct {
	sigctl  string
	clients int
}

func main() {
	var opts options
	flag.StringVar(&opts.sigctl, "sigctl", "bin/sigctl", "the program to measure")
	flag.IntVar(&opts.clients, "clients", 5000, "idle connections for the memory figures")
	names := flag.String("part", "", "measure only these parts, separated by commas")
	flag.Parse()
	t := &table{progress: os.Stderr}
	picked, err := parts.Pick(measures(opts, t), *names)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	err = parts.Run(context.Background(), os.Stderr, picked)
	t.print(os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measures are all parts, in the order of the table.
func measures(opts options, t *table) []parts.Part {
	part := func(name, about string, run func(context.Context, options, *table) error) parts.Part {
		return parts.Part{Name: name, About: about, Run: func(ctx context.Context) error { return run(ctx, opts, t) }}
	}
	return []parts.Part{
		part("start", "size and time to listen; a second", measureStart),
		part("memory", "what an idle connection costs the server; three minutes", measureMemory),
		part("cpu", "what a message costs the server; two minutes", measureCPU),
		part("setup", "how soon a call is open, beside pion's defaults; a minute", measureSetup),
		part("relay", "how soon a call through the relay is open; half a minute", measureRelayCall),
		part("throughput", "of a data channel, beside pion's defaults; a minute", measureThroughput),
		part("waiting", "what a waiting peer costs; half a minute", measureWaiting),
	}
}
