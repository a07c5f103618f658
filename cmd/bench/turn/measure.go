package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/sigctl/sigctl/cmd/internal/turnload"
)

// The loads: calls with sound alone, and with video or files.
var (
	singles = []string{"--size", "172", "--burst", "1"}
	bursts  = []string{"--size", "1200", "--burst", "8"}
)

const (
	// coalesce spares the load's core, and the server the waking of who receives, which is no part of relaying.
	coalesce = "100us"

	// cpuRate is that of the CPU figures, in packets per second: near what one core carries, with little loss.
	cpuRate = "100000"
)

func cpuPerPacket(r *turnload.Report) float64 { return r.CPUPerPacket }
func rate(r *turnload.Report) float64         { return r.Rate }

// measureCPU measures what a packet costs.
func measureCPU(ctx context.Context, c *contest) error {
	for _, m := range []struct {
		what      string
		load      []string
		direction string
		target    float64
	}{
		{"172 B singles, up", singles, "up", 0.85},
		{"172 B singles, down", singles, "down", 0.85},
		{"1200 B bursts of 8, up", bursts, "up", 0.6},
		{"1200 B bursts of 8, down", bursts, "down", 0.7},
		{"172 B singles, relay to relay", singles, "relay", 0.5},
		{"1200 B bursts of 8, relay to relay", bursts, "relay", 0.5},
	} {
		args := append([]string{"--direction", m.direction, "--rate", cpuRate, "--warmup", "300ms", "--duration", "1500ms", "--coalesce", coalesce}, m.load...)
		medians, err := c.compare(ctx, c.opts.rounds, args, cpuPerPacket, lost)
		if err != nil {
			return fmt.Errorf("%s: %w", m.what, err)
		}
		c.add("CPU per packet, "+m.what, "µs", medians[0], m.target, false)
		if medians[1] != [2]float64{} {
			c.add("  of which were lost", "%", medians[1], 0, false)
		}
	}
	return nil
}

func lost(r *turnload.Report) float64 { return r.LostPercent }

// measureRate looks for the loss-free rate of one core.
func measureRate(ctx context.Context, c *contest) error {
	for _, m := range []struct {
		what string
		load []string
	}{
		{"172 B singles, up", singles},
		{"1200 B bursts of 8, up", bursts},
	} {
		args := append([]string{"--rate", "max", "--warmup", "300ms", "--duration", "1s", "--coalesce", coalesce}, m.load...)
		medians, err := c.compare(ctx, (c.opts.rounds+1)/2, args, rate)
		if err != nil {
			return fmt.Errorf("%s: %w", m.what, err)
		}
		c.add("rate without loss, "+m.what, "packets/s", medians[0], 1.4, true)
	}
	return nil
}

// latencyRate is about a tenth of what one core carries, in packets per second.
const latencyRate = "15000"

// measureLatency measures how long packets take through a server that has little to do.
func measureLatency(ctx context.Context, c *contest) error {
	args := append([]string{"--rate", latencyRate, "--warmup", "300ms", "--duration", "2s"}, singles...)
	medians, err := c.compare(ctx, c.opts.rounds, args,
		func(r *turnload.Report) float64 { return r.Latency.P50 },
		func(r *turnload.Report) float64 { return r.Latency.P99 })
	if err != nil {
		return err
	}
	c.add("latency at "+latencyRate+" packets/s, p50", "µs", medians[0], 1, false)
	c.add("latency at "+latencyRate+" packets/s, p99", "µs", medians[1], 1, false)
	return nil
}

// measureMemory measures what idle allocations cost servers that have done nothing else.
func measureMemory(ctx context.Context, c *contest) error {
	c.stopBoth()
	if err := c.startBoth(ctx); err != nil {
		return err
	}
	args := []string{"--allocations", strconv.Itoa(c.opts.allocations), "--duration", "0", "--idle", "5s"}
	medians, err := c.compare(ctx, 1, args,
		func(r *turnload.Report) float64 { return float64(r.Memory) / 1e6 },
		func(r *turnload.Report) float64 { return r.IdleCPUPercent })
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d idle allocations", c.opts.allocations)
	c.add(what+", memory", "MB", medians[0], 0, false)
	c.add(what+", CPU", "% of a core", medians[1], 0, false)
	return nil
}
