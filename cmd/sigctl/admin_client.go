package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/sigctl/sigctl/pkg/admin"
)

// withServer calls f with a client of the server that runs with the data
// directory. The commands that it is for make no sense without one.
func withServer(ctx context.Context, dataPath string, f func(*admin.Client) error) error {
	data, err := openDataDir(dataPath)
	if err != nil {
		return err
	}
	err = withSocket(ctx, data.admin(), f)
	if errors.Is(err, admin.ErrNotServing) {
		return hint(err, "start it with sigctl serve, or name its data directory with --data DIR")
	}
	return err
}

// withSocket calls f with a client of the program at the admin socket.
func withSocket(ctx context.Context, socket string, f func(*admin.Client) error) (err error) {
	client, err := admin.Dial(ctx, socket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return f(client)
}

// callOptions are those of a command that is one call of the running server.
type callOptions struct{ json bool }

func callCommand(global *globalOptions, std stdio, use, short string, args cobra.PositionalArgs,
	run func(context.Context, *callOptions, *admin.Client, []string, stdio) error) *cobra.Command {
	opts := &callOptions{}
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  args,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withServer(cmd.Context(), global.data, func(c *admin.Client) error {
				return run(cmd.Context(), opts, c, args, std)
			})
		},
	}
	cmd.Flags().BoolVar(&opts.json, "json", false, "one JSON object per line")
	return cmd
}
