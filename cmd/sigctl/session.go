package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sigctl/sigctl/pkg/admin"
)

type sessionOptions struct {
	global *globalOptions
	json   bool
}

func newSession(global *globalOptions, std stdio) *cobra.Command {
	opts := &sessionOptions{global: global}
	command := func(use, short string, args cobra.PositionalArgs, run func(context.Context, *sessionOptions, *admin.Client, []string, stdio) error) *cobra.Command {
		cmd := &cobra.Command{
			Use:   use,
			Short: short,
			Args:  args,
			RunE: func(cmd *cobra.Command, args []string) error {
				return withServer(cmd.Context(), opts.global.data, func(c *admin.Client) error {
					return run(cmd.Context(), opts, c, args, std)
				})
			},
		}
		cmd.Flags().BoolVar(&opts.json, "json", false, "one JSON object per line")
		return cmd
	}
	return group(&cobra.Command{
		Use:   "session",
		Short: "See who is signed in to the running server, and end that",
		Long: `See who is signed in to the server that runs with --data, and in which rooms. To
kick a user ends the session and the relaying, and voids the tokens and relay
credentials that were issued until then; the user can sign in again, unless
deleted (sigctl user del NAME).`,
	},
		command("list", "List the sessions", cobra.NoArgs, runSessionList),
		command("rooms", "List the rooms that somebody is in", cobra.NoArgs, runSessionRooms),
		command("kick NAME", "End a user's session and void what was issued", cobra.ExactArgs(1), runSessionKick),
	)
}

func runSessionList(ctx context.Context, opts *sessionOptions, c *admin.Client, _ []string, std stdio) error {
	list, err := adminSessions.Call(ctx, c, struct{}{})
	if err != nil {
		return err
	}
	table := newTable(std, opts.json, "USER", "ROOM", "ADDRESS", "BY", "FOR", "EXPIRES", "MAY")
	for _, s := range list {
		expires := "never"
		if !s.Expires.IsZero() {
			expires = "in " + time.Until(s.Expires).Round(time.Second).String()
		}
		table.row(s, s.User, s.Room, s.Address.String(), s.Method, time.Since(s.Since).Round(time.Second).String(), expires,
			strings.Join(s.Permissions, ","))
	}
	return table.end()
}

func runSessionRooms(ctx context.Context, opts *sessionOptions, c *admin.Client, _ []string, std stdio) error {
	list, err := adminRooms.Call(ctx, c, struct{}{})
	if err != nil {
		return err
	}
	table := newTable(std, opts.json, "ROOM", "MEMBERS", "MAX", "ICE")
	for _, r := range list {
		most, ice := "-", "all"
		if r.Max > 0 {
			most = fmt.Sprint(r.Max)
		}
		if r.ICE != "" {
			ice = r.ICE
		}
		table.row(r, r.Room, fmt.Sprint(r.Members), most, ice)
	}
	return table.end()
}

func runSessionKick(ctx context.Context, opts *sessionOptions, c *admin.Client, args []string, std stdio) error {
	answer, err := adminKick.Call(ctx, c, kickRequest{args[0]})
	if err != nil {
		return err
	}
	if opts.json {
		return json.NewEncoder(std.out).Encode(answer)
	}
	what := "no session was open"
	if answer.Session {
		what = "the session has ended"
	}
	_, err = fmt.Fprintf(std.out, "%s: %s, relayed paths closed: %d, what was issued until now is void\n", args[0], what, answer.Allocations)
	return err
}
