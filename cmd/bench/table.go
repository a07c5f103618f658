package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table is the figures, in the order in which they were measured. Each is also written to progress at
// once.
type table struct {
	progress io.Writer
	rows     []row
}

type row struct{ what, value, target, verdict string }

// said adds a figure that has no target.
func (t *table) said(what, format string, args ...any) {
	t.add(row{what, fmt.Sprintf(format, args...), "said", ""})
}

// atMost adds a figure with an upper bound.
func (t *table) atMost(what string, value, bound float64, unit string) {
	t.compare(what, value, "≤", bound, unit, value <= bound)
}

// atLeast adds a figure with a lower bound.
func (t *table) atLeast(what string, value, bound float64, unit string) {
	t.compare(what, value, "≥", bound, unit, value >= bound)
}

func (t *table) compare(what string, value float64, sign string, bound float64, unit string, met bool) {
	verdict := "met"
	if !met {
		verdict = "missed"
	}
	t.add(row{what, fmt.Sprintf("%.3g %s", value, unit), fmt.Sprintf("%s %g %s", sign, bound, unit), verdict})
}

func (t *table) add(r row) {
	t.rows = append(t.rows, r)
	fmt.Fprintf(t.progress, "  %s: %s\n", strings.TrimSpace(r.what), r.value)
}

// print writes the table, unless it is empty.
func (t *table) print(w io.Writer) {
	if len(t.rows) == 0 {
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "figure\tmeasured\ttarget\t")
	for _, r := range t.rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", r.what, r.value, r.target, r.verdict)
	}
	tw.Flush()
}
