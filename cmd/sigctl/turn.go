package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type turnOptions struct {
	global *globalOptions

	realm          string
	publicHost     string
	cert, key      string
	relay          relayOptions
	trustedProxies []string
	users          []string
	operations     operationsOptions
}

func newTURN(global *globalOptions, std stdio) *cobra.Command {
	opts := &turnOptions{global: global}
	cmd := &cobra.Command{
		Use:   "turn",
		Short: "Run the relay alone",
		Long: `Run the relay (STUN and TURN) alone, until interrupted. At start it prints an
ICE server entry, ready to paste into a peer's configuration. With --cert and --key
it serves TLS and DTLS, too: sigctl cert server HOST makes such a certificate.

A signaling server elsewhere issues credentials for it if both have the same
secret:
  sigctl serve --turn off --ice-server turn:HOST:3478 --turn-secret file:PATH

It does not hear of users whom that server kicks. Their credentials open
allocations until they end, ten minutes at most, and one that is open goes on while
its client refreshes it, for --max-lifetime at most.`,
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error { return opts.check() },
		RunE:    func(cmd *cobra.Command, _ []string) error { return runTURN(cmd.Context(), opts, std) },
	}
	opts.flags(cmd.Flags())
	return cmd
}

// flags adds all flags to f, the most used first.
func (o *turnOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	topic(f, "Most used", o.commonFlags)
	o.relay.flags(f, "")
	topic(f, "Operations", func(f *pflag.FlagSet) {
		o.operations.flags(f)
		f.StringSliceVar(&o.trustedProxies, "trusted-proxy", nil, "`CIDR` of a proxy in front, for --proxy-protocol (repeatable)")
		f.StringArrayVar(&o.users, "user", nil, "`name:password` of a static user, for tests (repeatable)")
		markSecret(f, "user", secretPair)
	})
}

func (o *turnOptions) commonFlags(f *pflag.FlagSet) {
	f.StringVar(&o.realm, "realm", "sigctl", "`name` of the relay's realm, for example its domain")
	f.StringVar(&o.publicHost, "public-host", "", "`name` or address that others reach this machine by (default: from --cert, or --external-ip, or this host's address)")
	f.StringVar(&o.cert, "cert", "", "PEM `file` with the certificate chain for TLS and DTLS, followed while the relay runs")
	f.StringVar(&o.key, "key", "", "PEM `file` with the certificate's key")
}

// check returns all faults of the values, without opening anything.
func (o *turnOptions) check() error {
	var faults []error
	if !isHost(o.publicHost) {
		faults = append(faults, badFlag("public-host", fmt.Sprintf("%q is not a host name or address", o.publicHost), "it has no scheme and no port: example.com"))
	}
	if o.realm == "" || len(o.realm) > 127 { // RFC 8489 section 14.9
		faults = append(faults, badFlag("realm", "is 1 to 127 characters", "for example example.com"))
	}
	for _, u := range o.users {
		if name, password, _ := strings.Cut(u, ":"); name == "" || password == "" {
			faults = append(faults, badFlag("user", "not name:password")) // not shown: it may be a password
		}
	}
	needsTLS := ""
	if o.cert == "" {
		needsTLS = "give --cert FILE and --key FILE; sigctl cert server HOST makes them, from the development CA"
	}
	_, proxyErr := parsePrefixes("trusted-proxy", o.trustedProxies)
	return errors.Join(append(faults, checkCert(o.cert, o.key), o.relay.check(needsTLS, o.trustedProxies), proxyErr, o.operations.check())...)
}

// static returns the users of --user.
func (o *turnOptions) static() map[string]string {
	users := make(map[string]string, len(o.users))
	for _, u := range o.users {
		name, password, _ := strings.Cut(u, ":")
		users[name] = password
	}
	return users
}

func runTURN(ctx context.Context, opts *turnOptions, std stdio) (err error) {
	log := slog.New(slog.NewTextHandler(std.err, nil))
	opts.warn(log)
	t, err := newTURNApp(opts, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.announce(std); err != nil {
		return err
	}
	return t.serve(ctx)
}

func (o *turnOptions) warn(log *slog.Logger) {
	if len(o.users) > 0 {
		log.Warn("--user: a password in an argument shows in the process list, and never expires; it is for tests")
	}
	o.relay.warn(log)
}
