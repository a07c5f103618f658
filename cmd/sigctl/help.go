package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// topicOf annotates a flag with the heading that the help lists it under.
const topicOf = "sigctl_topic"

// The headings of flags without a topic.
const (
	ownFlags    = "Flags"
	globalFlags = "Global flags"
)

// topic adds the flags that add defines to f, under a heading of the help. Headings are listed in the
// order in which their first flags are added.
func topic(f *pflag.FlagSet, heading string, add func(*pflag.FlagSet)) {
	own := pflag.NewFlagSet(heading, pflag.ContinueOnError)
	own.SortFlags = false
	add(own)
	own.VisitAll(func(flag *pflag.Flag) {
		if flag.Annotations == nil {
			flag.Annotations = map[string][]string{}
		}
		flag.Annotations[topicOf] = []string{heading}
		f.AddFlag(flag)
	})
}

// setHelp makes root and its commands print our help instead of cobra's.
func setHelp(root *cobra.Command, out io.Writer) {
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := io.WriteString(cmd.OutOrStderr(), usageText(cmd, helpWidth(out)))
		return err
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprintf(out, "%s\n\n%s", wrapProse(cmp.Or(cmd.Long, cmd.Short), helpWidth(out)), usageText(cmd, helpWidth(out)))
	})
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" { // cobra's exits with 0 for a command that does not exist
			cmd.Run, cmd.RunE = nil, helpCommand
			cmd.Short, cmd.Long = "Print the help of a command", ""
		}
	}
}

func helpCommand(cmd *cobra.Command, args []string) error {
	found, rest, err := cmd.Root().Find(args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return noCommand(found, rest[0])
	}
	found.InitDefaultHelpFlag()
	return found.Help()
}

// Bounds of the help's width: longer lines are hard to read, shorter ones harder.
const (
	minHelpWidth     = 60
	defaultHelpWidth = 80 // where there is no terminal
	maxHelpWidth     = 120
)

// helpWidth returns the width to wrap help to.
func helpWidth(out io.Writer) int {
	if f, ok := out.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return min(max(width, minHelpWidth), maxHelpWidth)
		}
	}
	return defaultHelpWidth
}

// usageText returns how cmd is called, its commands and its flags, without a line longer than width.
func usageText(cmd *cobra.Command, width int) string {
	var b strings.Builder
	b.WriteString("Usage:\n")
	if !cmd.HasAvailableSubCommands() || strings.Contains(cmd.Use, " ") { // token does something by itself
		fmt.Fprintf(&b, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND [flags]\n", cmd.CommandPath())
	}
	var tables []helpTable
	tables = append(tables, commandTables(cmd)...)
	tables = append(tables, flagTables(cmd)...)
	column := columnOf(tables)
	for _, t := range tables {
		fmt.Fprintf(&b, "\n%s:\n", t.heading)
		for _, e := range t.list {
			b.WriteString(e.format(column, width))
		}
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n%s COMMAND --help prints the help of a command.\n", cmd.CommandPath())
	}
	return b.String()
}

// helpTable is the commands or flags under one heading.
type helpTable struct {
	heading string
	list    []helpRow
}

type helpRow struct{ label, text string }

// maxLabel is the longest label that has its text beside it, and not on the next line.
const maxLabel = 26

// columnOf returns where the texts of all tables begin.
func columnOf(tables []helpTable) (column int) {
	for _, t := range tables {
		for _, e := range t.list {
			if len(e.label) <= maxLabel {
				column = max(column, len(e.label))
			}
		}
	}
	return column + len("    ")
}

// format returns the label and the text, which begins at column and is wrapped at width.
func (r helpRow) format(column, width int) string {
	indent := strings.Repeat(" ", column)
	line := fmt.Sprintf("%-*s", column, "  "+r.label)
	if len("  "+r.label) > column-2 {
		line = "  " + r.label + "\n" + indent
	}
	return line + strings.ReplaceAll(wrap(r.text, width-column), "\n", "\n"+indent) + "\n"
}

// wrapProse wraps the paragraphs of text at width. Lines that begin with a space stay as they are.
func wrapProse(text string, width int) string {
	var lines, paragraph []string
	flush := func() {
		if len(paragraph) > 0 {
			lines = append(lines, wrap(strings.Join(paragraph, " "), width))
		}
		paragraph = nil
	}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line == "" || line[0] == ' ' {
			flush()
			lines = append(lines, line)
			continue
		}
		paragraph = append(paragraph, line)
	}
	flush()
	return strings.Join(lines, "\n")
}

// wrap breaks text between words into lines of at most width bytes, if the words allow it.
func wrap(text string, width int) string {
	var b strings.Builder
	used := 0
	for _, word := range strings.Fields(text) {
		switch {
		case used == 0:
		case used+1+len(word) > width:
			b.WriteByte('\n')
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += len(word)
	}
	return b.String()
}

// commandTables returns the commands of cmd by their groups.
func commandTables(cmd *cobra.Command) (tables []helpTable) {
	add := func(heading, id string) {
		t := helpTable{heading: heading}
		for _, c := range cmd.Commands() {
			if c.GroupID == id && (c.IsAvailableCommand() || c.Name() == "help") {
				t.list = append(t.list, helpRow{c.Name(), c.Short})
			}
		}
		if len(t.list) > 0 {
			tables = append(tables, t)
		}
	}
	for _, g := range cmd.Groups() {
		add(g.Title, g.ID)
	}
	add("Commands", "")
	return tables
}

// flagTables returns the flags of cmd by their topics, the global ones last.
func flagTables(cmd *cobra.Command) (tables []helpTable) {
	add := func(heading string, f *pflag.Flag) {
		if f.Hidden {
			return
		}
		i := slices.IndexFunc(tables, func(t helpTable) bool { return t.heading == heading })
		if i < 0 {
			tables, i = append(tables, helpTable{heading: heading}), len(tables)
		}
		tables[i].list = append(tables[i].list, helpRow{flagLabel(f), flagText(f)})
	}
	inherited := cmd.InheritedFlags()
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		switch headings := f.Annotations[topicOf]; {
		case len(headings) > 0:
			add(headings[0], f)
		case cmd.HasParent() && f.Name != "help":
			add(ownFlags, f)
		}
	})
	last := globalFlags
	if !cmd.HasParent() {
		inherited, last = cmd.LocalFlags(), ownFlags
	}
	inherited.VisitAll(func(f *pflag.Flag) { add(last, f) })
	if f := cmd.Flags().Lookup("help"); f != nil && cmd.HasParent() {
		add(last, f)
	}
	return tables
}

func flagLabel(f *pflag.Flag) string {
	label := "--" + f.Name
	if f.Shorthand != "" {
		label = "-" + f.Shorthand + ", " + label
	}
	if value, _ := pflag.UnquoteUsage(f); value != "" {
		label += " " + value
	}
	return label
}

// flagText returns what f is for, and its default, if that is not nothing.
func flagText(f *pflag.Flag) string {
	_, text := pflag.UnquoteUsage(f)
	if f.Name == "help" {
		text = "print this help"
	}
	switch value := strings.Trim(f.DefValue, "[]"); value {
	case "", "false", "0", "0s":
		return text
	default:
		return text + " (default " + value + ")"
	}
}
