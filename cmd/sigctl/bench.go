package main

import "github.com/spf13/cobra"

func newBench(global *globalOptions, std stdio) *cobra.Command {
	return group(&cobra.Command{
		Use:   "bench",
		Short: "Put load on a server, ours or another, and measure",
	},
		newBenchTURN(global, std),
	)
}
