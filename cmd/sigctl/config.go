package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	envPrefix = "SIGCTL_"
	// keyDelim cannot be part of a key: flags have flat names, so a nested map in
	// the file becomes one unknown key.
	keyDelim = "."
)

// secretFlag annotates the flags that config show does not print in full with
// what kind of secret they hold.
const secretFlag = "sigctl_secret"

const (
	secretURL    = "url"    // a URL, perhaps with a password
	secretPair   = "pair"   // name:password
	secretSource = "source" // SRC; by mistake, the secret itself
)

// envOnly are variables that are no flags.
var envOnly = []string{"SIGCTL_PASSWORD"}

// envName returns the variable that stands for a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// configure sets those flags of cmd that were not given in the command line from
// the environment or else from the file that --config names. It returns every
// fault that it finds.
func configure(cmd *cobra.Command) error {
	if cmd.Name() == cobra.ShellCompRequestCmd || cmd.Name() == cobra.ShellCompNoDescRequestCmd {
		return nil
	}
	flags := cmd.Flags()
	layers, err := loadLayers(flags)
	if err != nil {
		return err
	}
	faults := unknownKeys(layers.file, layers.path, knownFlags(cmd.Root()))
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || !configurable(f) {
			return
		}
		if err := layers.set(f); err != nil {
			faults = append(faults, err)
		}
	})
	return errors.Join(faults...)
}

// layers are the sources below the command line.
type layers struct {
	path      string // of the file; empty: there is none
	file, env *koanf.Koanf
}

func loadLayers(flags *pflag.FlagSet) (*layers, error) {
	l := &layers{file: koanf.New(keyDelim), env: koanf.New(keyDelim)}
	err := l.env.Load(env.Provider(keyDelim, env.Opt{
		Prefix: envPrefix,
		TransformFunc: func(name, value string) (string, any) {
			return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, envPrefix)), "_", "-"), value
		},
	}), nil)
	if err != nil {
		return nil, fmt.Errorf("read the environment: %w", err)
	}
	l.path = l.env.String("config")
	if f := flags.Lookup("config"); f != nil && f.Changed {
		l.path = f.Value.String()
	}
	if l.path == "" {
		return l, nil
	}
	if err := l.file.Load(file.Provider(l.path), yaml.Parser()); err != nil {
		return nil, usage(fmt.Errorf("configuration file: %w", inFile(l.path, err)),
			"it is YAML, one flag per line: listen: \":9090\"")
	}
	return l, nil
}

// inFile makes err name the file, once.
func inFile(path string, err error) error {
	if strings.Contains(err.Error(), path) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// set gives f the value of the highest layer that has one.
func (l *layers) set(f *pflag.Flag) error {
	if l.env.String(f.Name) != "" { // an empty variable is as good as none
		if err := setFlag(f, []string{l.env.String(f.Name)}, false); err != nil {
			return usage(fmt.Errorf("%s: %w", envName(f.Name), err), flagHint(f))
		}
		return nil
	}
	if !l.file.Exists(f.Name) {
		return nil
	}
	values, list := l.file.Get(f.Name).([]any)
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v)
	}
	if !list {
		texts = []string{fmt.Sprint(l.file.Get(f.Name))}
		if l.file.Get(f.Name) == nil {
			return usage(fmt.Errorf("%s: %s has no value", l.path, f.Name), flagHint(f))
		}
	}
	if err := setFlag(f, texts, list); err != nil {
		return usage(fmt.Errorf("%s: %s: %w", l.path, f.Name, err), flagHint(f))
	}
	return nil
}

// setFlag sets f to values. A list is for flags that take several.
func setFlag(f *pflag.Flag, values []string, list bool) (err error) {
	defer func() {
		if err == nil {
			f.Changed = true
		} else {
			_ = f.Value.Set(f.DefValue) // some kinds are changed by a value that they refuse
		}
	}()
	if slice, ok := f.Value.(pflag.SliceValue); ok && list {
		return slice.Replace(values)
	}
	if list {
		return errors.New("takes one value, not a list")
	}
	err = f.Value.Set(values[0])
	var number *strconv.NumError
	if errors.As(err, &number) {
		return fmt.Errorf("%q: %w", values[0], number.Err)
	}
	return err
}

// flagHint says what f is for.
func flagHint(f *pflag.Flag) string {
	_, text := pflag.UnquoteUsage(f)
	return "--" + f.Name + ": " + text
}

// unknownKeys returns a fault for each key of the file that is no flag.
func unknownKeys(k *koanf.Koanf, path string, known []string) (faults []error) {
	for _, key := range k.Keys() {
		if slices.Contains(known, key) {
			continue
		}
		problem := fmt.Errorf("%s: unknown key %q", path, key)
		faults = append(faults, usage(problem, suggestion(key, known)))
	}
	return faults
}

func suggestion(key string, known []string) string {
	if near := nearest(key, known, 3); near != "" {
		return "did you mean " + near + "?"
	}
	return "sigctl config show prints all keys"
}

// configurable reports whether f can be given in the environment and the file.
func configurable(f *pflag.Flag) bool {
	return f.Name != "help" && f.Name != "version" && f.Name != "config"
}

// knownFlags returns the names of all flags of all commands: one file may serve
// several.
func knownFlags(root *cobra.Command) []string {
	var names []string
	add := func(f *pflag.Flag) {
		if configurable(f) {
			names = append(names, f.Name)
		}
	}
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(add)
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit(root)
	slices.Sort(names)
	return slices.Compact(names)
}

// unknownVariables returns a fault for each SIGCTL_ variable that is no flag.
func unknownVariables(known []string) (faults []error) {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(envOnly, name) || name == envName("config") {
			continue
		}
		if !slices.ContainsFunc(known, func(flag string) bool { return envName(flag) == name }) {
			faults = append(faults, usage(fmt.Errorf("unknown variable %s", name), "unset it, or correct its name"))
		}
	}
	return faults
}
