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

func newSession(global *globalOptions, std stdio) *cobra.Command {
	return group(&cobra.Command{
		Use:   "session",
		Short: "List or end sessions on the running server",
		Long: `See who is signed in to the server that runs with --data, and in which rooms. To
kick a user ends the session and the relaying, and voids the tokens and relay
credentials that were issued until then. To keep out who signs in with a password:
sigctl user del NAME; with a certificate: sigctl cert revoke FILE; with a token of
an issuer: the issuer, or a rule of the policy.`,
	},
		callCommand(global, std, "list", "List the sessions", cobra.NoArgs, runSessionList),
		callCommand(global, std, "rooms", "List the rooms that somebody is in", cobra.NoArgs, runSessionRooms),
		callCommand(global, std, "kick NAME", "End a user's session and void what was issued", cobra.ExactArgs(1), runSessionKick),
	)
}

func runSessionList(ctx context.Context, opts *callOptions, c *admin.Client, _ []string, std stdio) error {
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

func runSessionRooms(ctx context.Context, opts *callOptions, c *admin.Client, _ []string, std stdio) error {
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

func runSessionKick(ctx context.Context, opts *callOptions, c *admin.Client, args []string, std stdio) error {
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
