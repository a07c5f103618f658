package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

func newConfig(std stdio) *cobra.Command {
	check := &cobra.Command{
		Use:   "check [COMMAND]",
		Short: "Check a configuration and print every fault",
		Long: `Say everything that is wrong with the configuration of COMMAND (serve by
default) in the environment and the file of --config. It starts nothing.`,
		Args:        cobra.MaximumNArgs(1),
		Annotations: map[string]string{configuresItself: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runConfigCheck(cmd, args, std)
		},
	}
	show := &cobra.Command{
		Use:   "show [COMMAND]",
		Short: "Print the effective configuration, without secrets",
		Long: `Print the effective configuration of COMMAND (serve by default) as YAML for
--config, and where each value comes from. Secrets are not printed.`,
		Args:        cobra.MaximumNArgs(1),
		Annotations: map[string]string{configuresItself: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runConfigShow(cmd, args, std)
		},
	}
	return group(&cobra.Command{Use: "config", Short: "Check or show the configuration"}, check, show)
}

// target returns the command whose configuration is meant, its flags set from
// all layers.
func target(cmd *cobra.Command, args []string) (*cobra.Command, error) {
	name := "serve"
	if len(args) > 0 {
		name = args[0]
	}
	found, rest, err := cmd.Root().Find(strings.Fields(name))
	switch {
	case err != nil:
		return nil, err
	case len(rest) > 0:
		return nil, noCommand(found, rest[0])
	case found == cmd.Root():
		return nil, usage(fmt.Errorf("there is no command %q", name), "for example: sigctl config show serve")
	}
	found.InheritedFlags() // makes cobra add the persistent flags
	for _, f := range []string{"config", "data"} {
		if given := cmd.Flags().Lookup(f); given.Changed {
			found.Flags().Lookup(f).Changed = true
		}
	}
	return found, configure(found)
}

func runConfigCheck(cmd *cobra.Command, args []string, std stdio) error {
	found, err := target(cmd, args)
	if found == nil {
		return err
	}
	faults := append([]error{err}, unknownVariables(knownFlags(cmd.Root()))...)
	if err := errors.Join(append(faults, complete(found))...); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "The configuration of %s is good.\n", found.CommandPath())
	return nil
}

// complete sets the flags of a command that depend on others, and returns what is wrong with their
// values: commands do so in PreRunE.
func complete(cmd *cobra.Command) error {
	if cmd.PreRunE == nil {
		return nil
	}
	return cmd.PreRunE(cmd, nil)
}

func runConfigShow(cmd *cobra.Command, args []string, std stdio) error {
	given := map[string]bool{}
	cmd.Flags().Visit(func(f *pflag.Flag) { given[f.Name] = true }) // target sets others
	found, err := target(cmd, args)
	if err != nil {
		return err
	}
	_ = complete(found) // config check says what is wrong
	l, err := loadLayers(found.Flags())
	if err != nil {
		return err
	}
	return showFlags(std.out, found.Flags(), func(name string) string {
		switch {
		case given[name]:
			return "flag"
		case l.env.String(name) != "":
			return envName(name)
		case l.file.Exists(name):
			return l.path
		}
		return "default"
	})
}

// showFlags writes flags as YAML, with their origin as comments.
func showFlags(w io.Writer, flags *pflag.FlagSet, origin func(name string) string) error {
	var root yaml.Node
	root.Kind = yaml.MappingNode
	flags.VisitAll(func(f *pflag.Flag) {
		if !configurable(f) {
			return
		}
		var key, value yaml.Node
		key.SetString(f.Name)
		value.Kind = yaml.ScalarNode
		_ = value.Encode(shown(f)) // strings, lists of them, numbers: cannot fail
		value.LineComment = origin(f.Name)
		if value.Kind == yaml.SequenceNode {
			value.Style = yaml.FlowStyle
		}
		root.Content = append(root.Content, &key, &value)
	})
	return yaml.NewEncoder(w).Encode(&root)
}

// shown returns the value of f without its secrets.
func shown(f *pflag.Flag) any {
	kind := f.Annotations[secretFlag]
	if slice, ok := f.Value.(pflag.SliceValue); ok {
		values := slice.GetSlice()
		for i := range values {
			if kind != nil {
				values[i] = redact(kind[0], values[i])
			}
		}
		return values
	}
	if kind != nil {
		return redact(kind[0], f.Value.String())
	}
	var typed any
	if kind := f.Value.Type(); kind == "bool" || strings.Contains(kind, "int") {
		if yaml.Unmarshal([]byte(f.Value.String()), &typed) == nil {
			return typed
		}
	}
	return f.Value.String()
}

const redacted = "xxxxx"

// redact shows of a value only what certainly is no secret.
func redact(kind, value string) string {
	switch kind {
	case secretURL:
		if u, err := url.Parse(value); err == nil && u.Host != "" {
			u.RawQuery = "" // some put the password there
			return u.Redacted()
		}
	case secretPair:
		if name, _, ok := strings.Cut(value, ":"); ok {
			return name + ":" + redacted
		}
	case secretSource:
		if strings.HasPrefix(value, "file:") || strings.HasPrefix(value, "env:") {
			return value
		}
	}
	if value == "" {
		return ""
	}
	return redacted
}

// markSecret makes config show redact the flag name, as one of the given kind.
func markSecret(flags *pflag.FlagSet, name, kind string) {
	_ = flags.SetAnnotation(name, secretFlag, []string{kind}) // fails for unknown flags only: a test covers it
}
