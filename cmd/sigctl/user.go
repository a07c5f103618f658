package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sigctl/sigctl/pkg/user"
)

type userOptions struct {
	global       *globalOptions
	store        storeOptions
	passwordFile string
	json         bool
}

func newUser(global *globalOptions, std stdio) *cobra.Command {
	opts := &userOptions{global: global}
	command := func(use, short string, run func(context.Context, *userOptions, user.Store, string, stdio) error) *cobra.Command {
		return &cobra.Command{
			Use:   use,
			Short: short,
			Args:  cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return withStore(cmd.Context(), opts, func(s user.Store) error {
					return run(cmd.Context(), opts, s, args[0], std)
				})
			},
		}
	}
	add := command("add NAME", "Add a user", runUserAdd)
	passwd := command("passwd NAME", "Change a user's password", runUserPasswd)
	del := command("del NAME", "Delete a user", runUserDel)
	list := &cobra.Command{
		Use:   "list",
		Short: "List the users",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd.Context(), opts, func(s user.Store) error {
				return runUserList(cmd.Context(), opts, s, std)
			})
		},
	}
	for _, cmd := range []*cobra.Command{add, passwd} {
		cmd.Flags().StringVar(&opts.passwordFile, "password-file", "", "`file` with the password (default: ask, or read a line of the input)")
	}
	list.Flags().BoolVar(&opts.json, "json", false, "one JSON object per line")
	for _, cmd := range []*cobra.Command{add, passwd, del, list} {
		opts.store.flags(cmd.Flags())
	}
	return group(&cobra.Command{
		Use:   "user",
		Short: "Add, change, delete and list users",
		Long: `Add, change, delete and list the users of the embedded store in --data, or of
--redis. While the server runs, its store is changed through its admin socket in
--data, and the change holds at once.

A name belongs to the source that first used it: a password, an OIDC issuer, a
client CA, or a token made by sigctl token. The list shows which, and up to when
all that was issued to the user is revoked. Deleting a user frees the name for
whoever uses it next.`,
	}, add, passwd, del, list)
}

// withStore calls f with the store of the running server, or else of --data.
func withStore(ctx context.Context, opts *userOptions, f func(user.Store) error) (err error) {
	store, err := opts.store.openForAdmin(ctx, opts.global.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return f(store)
}

func runUserAdd(ctx context.Context, opts *userOptions, store user.Store, name string, std stdio) error {
	if u, err := store.Get(ctx, name); err == nil { // before the password is asked for
		return taken(u)
	}
	password, err := newPassword(ctx, opts.passwordFile, name, std)
	if err != nil {
		return err
	}
	u, err := user.New(name, password, user.DefaultParams)
	if err != nil {
		return usage(err)
	}
	if err := store.Add(ctx, u); err != nil {
		return fmt.Errorf("add user: %w", err)
	}
	fmt.Fprintf(std.err, "Added %s.\n", name)
	return nil
}

func runUserPasswd(ctx context.Context, opts *userOptions, store user.Store, name string, std stdio) error {
	u, err := store.Get(ctx, name)
	if err != nil {
		return absent(name, err)
	}
	if u.Source != user.SourcePassword {
		return noPassword(u)
	}
	password, err := newPassword(ctx, opts.passwordFile, name, std)
	if err != nil {
		return err
	}
	hash, err := user.Hash(password, user.DefaultParams)
	if err != nil {
		return usage(err)
	}
	if err := store.SetHash(ctx, name, hash); err != nil {
		return absent(name, err)
	}
	fmt.Fprintf(std.err, "Changed the password of %s.\n", name)
	return nil
}

func runUserDel(ctx context.Context, _ *userOptions, store user.Store, name string, std stdio) error {
	if err := store.Delete(ctx, name); err != nil {
		return absent(name, err)
	}
	fmt.Fprintf(std.err, "Deleted %s.\n", name)
	return nil
}

// taken says by whom, to who wants to add u.
func taken(u user.User) error {
	err := fmt.Errorf("%w: %s", user.ErrExists, u.Name)
	if u.Source == user.SourcePassword {
		return hint(err, "sigctl user passwd "+u.Name+" changes the password")
	}
	return hint(fmt.Errorf("%w, and belongs to %s", err, u.Source), "sigctl user del "+u.Name+" takes the name from there")
}

// noPassword says why u, who is of another source, can have none.
func noPassword(u user.User) error {
	return hint(fmt.Errorf("%s has no password: the name belongs to %s", u.Name, u.Source),
		"sigctl user del "+u.Name+" takes the name from there, sigctl user add "+u.Name+" then gives it a password")
}

// absent adds a hint to err if it says that there is no such user.
func absent(name string, err error) error {
	if errors.Is(err, user.ErrNotFound) {
		return hint(err, "sigctl user list prints who is there, sigctl user add "+oneLine(name)+" adds")
	}
	return err
}

func runUserList(ctx context.Context, opts *userOptions, store user.Store, std stdio) error {
	users, err := store.List(ctx)
	if err != nil {
		return err
	}
	if opts.json {
		return listJSON(std.out, users)
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, u := range users {
		fmt.Fprintf(w, "%s\t%s\t%s", u.Name, u.Created.Format(time.DateOnly), oneLine(u.Source))
		if !u.Revoked.IsZero() {
			fmt.Fprintf(w, ", revoked until %s", u.Revoked.Format(time.RFC3339))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// listJSON leaves the hashes out.
func listJSON(w io.Writer, users []user.User) error {
	enc := json.NewEncoder(w)
	for _, u := range users {
		u.Hash = ""
		if err := enc.Encode(u); err != nil {
			return err
		}
	}
	return nil
}
