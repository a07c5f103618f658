// Package parts runs a benchmark in parts: each can be run alone, and one that fails does not lose
// the figures of the others.
package parts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Part is one of the things that a benchmark measures.
type Part struct {
	Name  string
	About string // what it measures, and about how long that takes
	Run   func(context.Context) error
}

// Pick returns the parts that names lists, separated by commas, in the order of all; all of them if
// names is empty. The error for an unknown name lists the known ones.
func Pick(all []Part, names string) ([]Part, error) {
	if names == "" {
		return all, nil
	}
	var known []string
	for _, p := range all {
		known = append(known, p.Name)
	}
	wanted := strings.Split(names, ",")
	for _, name := range wanted {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%q is not a part; there are %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p Part) bool { return !slices.Contains(wanted, p.Name) }), nil
}

// Run runs the parts one after the other, whether or not one fails, until ctx ends. It reports to
// progress which part runs, and a fault at once. The error names the parts that failed.
func Run(ctx context.Context, progress io.Writer, parts []Part) error {
	var failed []string
	for i, p := range parts {
		fmt.Fprintf(progress, "%s (part %d of %d): %s\n", p.Name, i+1, len(parts), p.About)
		began := time.Now()
		err := ctx.Err()
		if err == nil {
			err = p.Run(ctx)
		}
		if err != nil {
			fmt.Fprintf(progress, "%s failed: %v\n", p.Name, err)
			failed = append(failed, p.Name)
			continue
		}
		fmt.Fprintf(progress, "%s done in %v\n", p.Name, time.Since(began).Round(time.Second))
	}
	if len(failed) > 0 {
		return errors.New("failed: " + strings.Join(failed, ", ") + "; the reasons are above")
	}
	return nil
}
