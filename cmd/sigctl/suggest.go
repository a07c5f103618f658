package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// nearest returns the one of known that word was meant to be: one that begins with it, or the one that
// differs least, in at most most letters. It is empty if there is none.
func nearest(word string, known []string, most int) string {
	best, distance := "", most+1
	for _, name := range known {
		if d := editDistance(word, name); d < distance {
			best, distance = name, d
		}
	}
	if best != "" {
		return best
	}
	for _, name := range known {
		if word != "" && strings.HasPrefix(name, word) {
			return name
		}
	}
	return ""
}

// maxTypos is in how many letters a mistyped command or flag may differ from the one that was meant.
const maxTypos = 2

// noCommand is the error of a word that is not a command of cmd.
func noCommand(cmd *cobra.Command, word string) error {
	problem := fmt.Errorf("%s has no command %q", cmd.CommandPath(), word)
	names := commandNames(cmd)
	switch near := nearest(word, names, maxTypos); {
	case near != "":
		return usage(problem, "did you mean: "+cmd.CommandPath()+" "+near)
	case len(names) > 0:
		return usage(problem, "it has: "+strings.Join(names, ", "))
	}
	return usage(problem, cmd.CommandPath()+" --help says more")
}

func commandNames(cmd *cobra.Command) (names []string) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// badFlags adds what was probably meant to cobra's error about the flags of cmd.
func badFlags(cmd *cobra.Command, err error) error {
	hints := []string{cmd.CommandPath() + " --help says more"}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		name := unknown.GetSpecifiedName()
		if short := unknown.GetSpecifiedShortnames(); short != "" { // -listen, say
			name = short
		}
		if near := nearestFlag(cmd, name); near != "" {
			hints = append([]string{"did you mean --" + near + "?"}, hints...)
		}
	}
	return usage(err, hints...)
}

func nearestFlag(cmd *cobra.Command, word string) string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return nearest(word, names, maxTypos)
}

// editDistance is how many letters have to be added, removed, replaced or exchanged with the next one
// to make b of a (optimal string alignment).
func editDistance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
