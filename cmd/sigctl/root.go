package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// stdio is what a command reads and writes: results go to out, status and errors
// to err.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// globalOptions are those of every command.
type globalOptions struct {
	config string
	data   string
}

// run executes the command line args and returns the exit code.
func run(ctx context.Context, args []string, std stdio) int {
	root := newRoot(std)
	root.SetArgs(args)
	started := false
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		started = true
		if _, itself := cmd.Annotations[configuresItself]; itself {
			return nil
		}
		return configure(cmd)
	}
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	var f *fault
	if !started && !errors.As(err, &f) { // what cobra itself refuses: the number of arguments
		err = usage(err, "usage: "+cmd.UseLine(), cmd.CommandPath()+" --help says more")
	}
	report(std.err, err)
	return exitCode(err)
}

// configuresItself annotates the commands for which run does not call configure.
const configuresItself = "sigctl_configures_itself"

func newRoot(std stdio) *cobra.Command {
	global := &globalOptions{}
	root := &cobra.Command{
		Use:   "sigctl",
		Short: "A self-hosted, secure WebRTC stack: signaling, relay, headless peer and page",
		Long: `sigctl is a self-hosted, secure WebRTC stack in one binary: a signaling server,
a TURN relay, a headless peer and a page.

  sigctl demo                             see all of it work, in seconds
  sigctl serve --demo                     a server to try things on
  sigctl chat --user user1                wait for a call (password1)
  sigctl chat --user user2 --call user1   call from another terminal (password2)

Every flag is also a variable of the environment (--turn-listen is
SIGCTL_TURN_LISTEN) and a key of the YAML file given by --config (turn-listen);
flag > environment > file > default.

` + exitHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
		RunE:          needsCommand,
		Args:          cobra.ArbitraryArgs,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(badFlags)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.StringVar(&global.config, "config", "", "YAML `file` with values for the flags")
	flags.StringVar(&global.data, "data", defaultDataDir(), "`directory` of the users, the development CA and keys")
	root.Flags().BoolP("version", "v", false, "print the version, as sigctl version does")
	addGroup(root, "Run", newDemo(std), newServe(global, std), newTURN(global, std), newChat(global, std))
	addGroup(root, "Administer", newUser(global, std), newToken(global, std), newSession(global, std),
		newDrain(global, std), newCert(global, std), newConfig(std))
	addGroup(root, "More", newBench(global, std), newVersion(std))
	root.SetHelpCommandGroupID("More")
	root.SetCompletionCommandGroupID("More")
	setHelp(root, std.out)
	return root
}

// addGroup adds commands to root, under a heading of the help.
func addGroup(root *cobra.Command, heading string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: heading, Title: heading})
	for _, cmd := range commands {
		cmd.GroupID = heading
	}
	root.AddCommand(commands...)
}

// group makes cmd one that only holds others.
func group(cmd *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = needsCommand
	cmd.AddCommand(commands...)
	return cmd
}

// needsCommand is the run function of a command that only holds others.
func needsCommand(cmd *cobra.Command, args []string) error {
	if cmd.Parent() == nil && len(args) == 0 {
		return cmd.Help()
	}
	if len(args) > 0 {
		return noCommand(cmd, args[0])
	}
	return usage(fmt.Errorf("%s needs a command", cmd.CommandPath()), "it has: "+strings.Join(commandNames(cmd), ", "))
}
