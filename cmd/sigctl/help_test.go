package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The help of every command fits the terminal, and names each flag once.
func TestHelpFits(t *testing.T) {
	for _, width := range []int{80, 100, maxHelpWidth} {
		eachCommand(newRoot(stdio{in: strings.NewReader(""), out: io.Discard, err: io.Discard}), func(cmd *cobra.Command) {
			text := wrapProse(cmd.Long, width) + "\n\n" + usageText(cmd, width)
			for line := range strings.Lines(text) {
				if line = strings.TrimSuffix(line, "\n"); len(line) > width && strings.Contains(strings.TrimSpace(line), " ") {
					t.Errorf("%s at width %d: %d columns: %s", cmd.CommandPath(), width, len(line), line)
				}
			}
			cmd.Flags().VisitAll(func(f *pflag.Flag) {
				if n := strings.Count(text, "\n  "+flagLabel(f)); n != 1 && !f.Hidden {
					t.Errorf("%s at width %d: %d lines for --%s, want 1", cmd.CommandPath(), width, n, f.Name)
				}
			})
		})
	}
}

func eachCommand(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, c := range cmd.Commands() {
		eachCommand(c, f)
	}
}

func TestNearest(t *testing.T) {
	commands := []string{"bench", "cert", "chat", "config", "session", "serve", "user"}
	for word, want := range map[string]string{
		"caht": "chat", "chta": "chat", "serv": "serve", "sess": "session", "usr": "user", "bogus": "", "x": "", "": "",
	} {
		if got := nearest(word, commands, maxTypos); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
