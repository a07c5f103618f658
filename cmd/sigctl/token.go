package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sigctl/sigctl/pkg/admin"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/token"
)

type tokenOptions struct {
	global      *globalOptions
	user, room  string
	permissions []string
	ttl         time.Duration
	json        bool
}

func newToken(global *globalOptions, std stdio) *cobra.Command {
	opts := &tokenOptions{global: global}
	cmd := &cobra.Command{
		Use:   "token --user NAME",
		Short: "Print a room token for a user, or manage the keys that sign tokens",
		Long: `Print a room token, by the server that runs with --data. It signs one session in,
as that user in that room with these permissions, whatever the policy says:

  ROOM_TOKEN=$(sigctl token --user alice --room team) \
    sigctl chat --token env:ROOM_TOKEN

A name that does not exist yet comes into being, without a password.`,
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error { return opts.check() },
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withServer(cmd.Context(), global.data, func(c *admin.Client) error { return runToken(cmd.Context(), opts, c, std) })
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&opts.user, "user", "", "`name` that the token signs in")
	f.StringVar(&opts.room, "room", protocol.Lobby, "`name` of the room")
	f.StringSliceVar(&opts.permissions, "permissions", []string{protocol.PermJoin, protocol.PermData},
		"of join, data, publish and subscribe")
	f.DurationVar(&opts.ttl, "ttl", token.MaxLifetime, "how long the token is good, 15m at most")
	f.BoolVar(&opts.json, "json", false, "as a JSON object, with the end of the token")
	cmd.AddCommand(newTokenKeys(global, std))
	return cmd
}

func (o *tokenOptions) check() error {
	const names = "a name is 1 to 64 letters, digits and . _ @ + -"
	var faults []error
	if !protocol.ValidName(o.user) {
		faults = append(faults, badFlag("user", fmt.Sprintf("%q is not a user name", o.user), names))
	}
	if !protocol.ValidName(o.room) {
		faults = append(faults, badFlag("room", fmt.Sprintf("%q is not a room name", o.room), names))
	}
	for _, p := range o.permissions {
		if !slices.Contains([]string{protocol.PermJoin, protocol.PermData, protocol.PermPublish, protocol.PermSubscribe}, p) {
			faults = append(faults, badFlag("permissions", fmt.Sprintf("%q is none", p), "they are join, data, publish and subscribe"))
		}
	}
	if !slices.Contains(o.permissions, protocol.PermJoin) {
		faults = append(faults, badFlag("permissions", "join is missing", "nothing can be done outside the room: --permissions join,data"))
	}
	if o.ttl < time.Second || o.ttl > token.MaxLifetime {
		faults = append(faults, badFlag("ttl", fmt.Sprintf("%v is not 1s to 15m", o.ttl)))
	}
	return errors.Join(faults...)
}

func runToken(ctx context.Context, opts *tokenOptions, c *admin.Client, std stdio) error {
	answer, err := adminToken.Call(ctx, c, tokenRequest{opts.user, opts.room, opts.permissions, opts.ttl})
	if err != nil {
		return err
	}
	if opts.json {
		return newTable(std, true).one(answer)
	}
	_, err = fmt.Fprintln(std.out, answer.Token)
	return err
}

func newTokenKeys(global *globalOptions, std stdio) *cobra.Command {
	return group(&cobra.Command{
		Use:   "keys",
		Short: "Manage the keys that sign tokens",
		Long: `The keys that sign tokens, of the server that runs with --data. After a rotation the
old key's tokens are good until they expire; no session notices it.`,
	},
		callCommand(global, std, "list", "List the keys", cobra.NoArgs, runKeysList),
		callCommand(global, std, "rotate", "Sign with a new key from now on", cobra.NoArgs, runKeysRotate),
		callCommand(global, std, "remove ID", "Void all tokens of a retired key at once", cobra.ExactArgs(1), runKeysRemove),
	)
}

func runKeysList(ctx context.Context, opts *callOptions, c *admin.Client, _ []string, std stdio) error {
	keys, err := adminKeys.Call(ctx, c, struct{}{})
	if err != nil {
		return err
	}
	table := newTable(std, opts.json, "ID", "CREATED", "STATE")
	for _, k := range keys {
		table.row(k, k.ID, k.Created.Local().Format(time.DateTime), keyState(k))
	}
	return table.end()
}

func keyState(k token.Key) string {
	if k.Retired.IsZero() {
		return "signs"
	}
	return "its tokens are good until " + k.Expires().Local().Format(time.TimeOnly)
}

func runKeysRotate(ctx context.Context, opts *callOptions, c *admin.Client, _ []string, std stdio) error {
	key, err := adminRotate.Call(ctx, c, struct{}{})
	if err != nil {
		return err
	}
	if opts.json {
		return newTable(std, true).one(key)
	}
	_, err = fmt.Fprintf(std.out, "key %s signs from now on; tokens of the one before are good until they expire\n", key.ID)
	return err
}

func runKeysRemove(ctx context.Context, _ *callOptions, c *admin.Client, args []string, std stdio) error {
	if _, err := adminRemove.Call(ctx, c, removeRequest{args[0]}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(std.out, "tokens of key %s are void\n", args[0])
	return err
}
