package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// table is the figures, in the order in which they were measured.
type table struct{ rows []row }

type row struct{ what, value, target, verdict string }

// said adds a figure that has no target.
func (t *table) said(what, format string, args ...any) {
	t.rows = append(t.rows, row{what, fmt.Sprintf(format, args...), "said", ""})
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
	t.rows = append(t.rows, row{what, fmt.Sprintf("%.3g %s", value, unit), fmt.Sprintf("%s %g %s", sign, bound, unit), verdict})
}

func (t *table) print(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "figure\tmeasured\ttarget\t")
	for _, r := range t.rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", r.what, r.value, r.target, r.verdict)
	}
	tw.Flush()
}
