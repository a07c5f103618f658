package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/sigctl/sigctl/cmd/internal/turnload"
)

// contest is both servers and what was measured of them.
type contest struct {
	opts    options
	dir     string // data of both
	secret  string
	env     []string
	servers []*server // coturn, ours
	rows    []row

	capacities map[string]float64 // of coturn, in packets per second, by kind of load
}

// row is a figure of both servers, or without unit a note on the one before.
type row struct {
	what, unit   string
	coturn, ours float64
	target       float64 // of ours to coturn; 0: none
	atLeast      bool    // more is better
}

func newContest(opts options) *contest {
	return &contest{opts: opts, capacities: map[string]float64{}}
}

// open starts both servers.
func (c *contest) open(ctx context.Context) (err error) {
	c.secret, c.env = newSecret()
	if c.dir, err = os.MkdirTemp("", "sigctl-bench-turn-*"); err != nil {
		return err
	}
	if err := c.startBoth(ctx); err != nil {
		c.close()
		return err
	}
	return nil
}

func (c *contest) startBoth(ctx context.Context) error {
	for _, start := range []func(context.Context) (*server, error){c.startCoturn, c.startOurs} {
		s, err := start(ctx)
		if err != nil {
			return err
		}
		c.servers = append(c.servers, s)
	}
	return nil
}

func (c *contest) stopBoth() {
	for _, s := range c.servers {
		s.stop()
	}
	c.servers = nil
}

func (c *contest) close() {
	c.stopBoth()
	os.RemoveAll(c.dir)
}

// load runs the load on one server.
func (c *contest) load(ctx context.Context, s *server, args ...string) (*turnload.Report, error) {
	fmt.Fprintf(os.Stderr, "%-6s  %s\n", s.name, strings.Join(args, " "))
	args = append([]string{c.opts.sigctl, "bench", "turn", "--json", "--server", s.url, "--secret", "env:" + secretVariable,
		"--pid", strconv.Itoa(s.cmd.Process.Pid)}, args...)
	args = c.pinned(loadCore, args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %s: %w\n%s", s.name, strings.Join(args, " "), err, errs.String())
	}
	var r turnload.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return nil, fmt.Errorf("read the report of %s: %w", strings.Join(args, " "), err)
	}
	return &r, nil
}

// figure reads one number of a report.
type figure func(*turnload.Report) float64

// compare runs the same load on both servers in turn, and returns the medians of each figure, coturn's first.
func (c *contest) compare(ctx context.Context, rounds int, args []string, figures ...figure) ([][2]float64, error) {
	values := make([][2][]float64, len(figures))
	for round := range rounds {
		for i := range c.servers {
			which := (i + round) % len(c.servers) // neither is always the first
			r, err := c.load(ctx, c.servers[which], args...)
			if err != nil {
				return nil, err
			}
			for f, read := range figures {
				values[f][which] = append(values[f][which], read(r))
			}
		}
	}
	medians := make([][2]float64, len(figures))
	for f := range figures {
		medians[f] = [2]float64{median(values[f][0]), median(values[f][1])}
	}
	return medians, nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// add adds a figure to the table.
func (c *contest) add(what, unit string, medians [2]float64, target float64, atLeast bool) {
	fmt.Fprintf(os.Stderr, "  %s: coturn %.3g %s, ours %.3g %s\n", strings.TrimSpace(what), medians[0], unit, medians[1], unit)
	c.rows = append(c.rows, row{what, unit, medians[0], medians[1], target, atLeast})
}

// note says something about the figure before.
func (c *contest) note(text string) { c.rows = append(c.rows, row{what: text}) }

func (c *contest) print(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "figure\tcoturn\tours\t\tratio\ttarget\t")
	for _, r := range c.rows {
		if r.unit == "" {
			fmt.Fprintln(tw, r.what+"\t\t\t\t\t\t")
			continue
		}
		fmt.Fprintf(tw, "%s\t%.4g\t%.4g\t%s\t%s\t\n", r.what, r.coturn, r.ours, r.unit, r.verdict())
	}
	tw.Flush()
}

// verdict is the ratio, its target, and whether it is met.
func (r row) verdict() string {
	if r.coturn == 0 {
		return "-\tsaid\t"
	}
	ratio := r.ours / r.coturn
	if r.target == 0 {
		return fmt.Sprintf("%.2f\tsaid\t", ratio)
	}
	sign, met := "≤", ratio <= r.target
	if r.atLeast {
		sign, met = "≥", ratio >= r.target
	}
	verdict := "met"
	if !met {
		verdict = "missed"
	}
	return fmt.Sprintf("%.2f\t%s %g\t%s", ratio, sign, r.target, verdict)
}
