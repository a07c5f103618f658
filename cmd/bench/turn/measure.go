package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/sigctl/sigctl/cmd/internal/turnload"
)

// load is what is sent: calls with sound alone, or with video or files.
type load struct {
	kind, direction string
	args            []string
}

func singles(direction string) load {
	return load{"172 B singles", direction, []string{"--size", "172", "--burst", "1"}}
}

func bursts(direction string, args ...string) load {
	return load{"1200 B bursts of 8", direction, append([]string{"--size", "1200", "--burst", "8"}, args...)}
}

func (l load) String() string { return l.kind + ", " + l.direction }

// options are those of the load at a rate, which may be max.
func (l load) options(rate, duration string) []string {
	return append([]string{"--direction", l.direction, "--rate", rate, "--warmup", "200ms", "--duration", duration}, l.args...)
}

const (
	// clients are so many that no user comes near a bound of bytes per second.
	clients = "20"

	// brief is how long one rate is tried: the longer, the more a machine with other work to do gets in the way.
	brief = "300ms"

	// together spares the load's core, and the server the waking of who receives, which is no part of relaying.
	together = "100us"
)

func cpuPerPacket(r *turnload.Report) float64 { return r.CPUPerPacket }
func lost(r *turnload.Report) float64         { return r.LostPercent }
func rate(r *turnload.Report) float64         { return r.Rate }
func p50(r *turnload.Report) float64          { return r.Latency.P50 }
func p99(r *turnload.Report) float64          { return r.Latency.P99 }

// capacity is the highest rate that coturn carries without loss, looked for once per kind of load. Relay to relay it does
// everything twice.
func (c *contest) capacity(ctx context.Context, l load) (float64, error) {
	if l.direction == "relay" {
		up, err := c.capacity(ctx, load{l.kind, "up", l.args})
		return up / 2, err
	}
	if known := c.capacities[l.kind]; known > 0 {
		return known, nil
	}
	args := append(l.options("max", brief), "--allocations", clients, "--coalesce", together)
	r, err := c.load(ctx, c.servers[0], args...)
	if err != nil {
		return 0, err
	}
	c.capacities[l.kind] = r.Rate
	return r.Rate, nil
}

// part returns a part of coturn's capacity.
func (c *contest) part(ctx context.Context, l load, part float64) (string, error) {
	all, err := c.capacity(ctx, l)
	return strconv.Itoa(int(part * all)), err
}

// busy is the load of the CPU figures, as part of what coturn carries: a server that has little to do sleeps and wakes
// for every packet, which costs it more than the relaying.
const busy = 0.8

// notable is the loss in % that is mentioned.
const notable = 0.1

// measureCPU measures what a packet costs.
func measureCPU(ctx context.Context, c *contest) error {
	for _, m := range []struct {
		load
		target float64
	}{
		{singles("up"), 0.85},
		{singles("down"), 0.85},
		{bursts("up"), 0.6},
		{bursts("down"), 0.7},
		{singles("relay"), 0.5},
		{bursts("relay"), 0.5},
	} {
		rate, err := c.part(ctx, m.load, busy)
		if err != nil {
			return fmt.Errorf("%s: %w", m.load, err)
		}
		args := append(m.options(rate, "1s"), "--allocations", clients, "--coalesce", together)
		medians, err := c.compare(ctx, c.opts.rounds, args, cpuPerPacket, lost)
		if err != nil {
			return fmt.Errorf("%s: %w", m.load, err)
		}
		c.add("CPU per packet, "+m.String()+", "+rate+"/s", "µs", medians[0], m.target, false)
		if max(medians[1][0], medians[1][1]) > notable {
			c.add("  lost", "%", medians[1], 0, false)
		}
	}
	return nil
}

// measureRate looks for the loss-free rate of one core. Packet by packet the load's core has as much to do as the
// server's, so the limit may be its own; bursts in one piece, as network cards deliver them, leave it time.
func measureRate(ctx context.Context, c *contest) error {
	for _, m := range []struct {
		load
		how string
	}{
		{bursts("up"), ""},
		{bursts("up", "--offload"), ", in one piece"},
	} {
		args := append(m.options("max", brief), "--allocations", clients, "--coalesce", together)
		medians, err := c.compare(ctx, (c.opts.rounds+1)/2, args, rate, limitedByLoad, cpuPerPacket)
		if err != nil {
			return fmt.Errorf("%s: %w", m.load, err)
		}
		c.add("rate without loss, "+m.String()+m.how, "packets/s", medians[0], 1.4, true)
		if medians[1][1] > 0 {
			c.note(fmt.Sprintf("  ours carries more: the load's core was the limit, ours %.0f %% busy", medians[0][1]*medians[2][1]/1e4))
		}
	}
	return nil
}

func limitedByLoad(r *turnload.Report) float64 {
	if r.LimitedBy == turnload.LimitLoad {
		return 1
	}
	return 0
}

// measureLatency measures how long packets take through a server that has little to do.
func measureLatency(ctx context.Context, c *contest) error {
	l := singles("up")
	rate, err := c.part(ctx, l, 0.1)
	if err != nil {
		return err
	}
	medians, err := c.compare(ctx, c.opts.rounds, append(l.options(rate, "2s"), "--allocations", clients), p50, p99)
	if err != nil {
		return err
	}
	c.add("latency at 10 % load, "+rate+"/s, p50", "µs", medians[0], 1, false)
	c.add("latency at 10 % load, "+rate+"/s, p99", "µs", medians[1], 1, false)
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
		func(r *turnload.Report) float64 { return float64(r.Memory-r.MemoryBefore) / 1e6 },
		func(r *turnload.Report) float64 { return r.IdleCPUPercent })
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d idle allocations", c.opts.allocations)
	c.add(what+", memory", "MB", medians[0], 0, false)
	c.add(what+", CPU", "% of a core", medians[1], 0, false)
	return nil
}
