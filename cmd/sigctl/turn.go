package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/turncred"
	"github.com/sigctl/sigctl/turnserver"
)

// pasteTTL is how long the entry that `sigctl turn` prints is good.
const pasteTTL = 24 * time.Hour

type turnOptions struct {
	global *globalOptions

	realm            string
	listen           string
	publicHost       string
	externalIP       string
	minPort, maxPort uint16
	secret           string
	users            []string
	allow, deny      []string
	maxAllocations   int
	userQuota        int
}

func newTURN(global *globalOptions, std stdio) *cobra.Command {
	opts := &turnOptions{global: global}
	cmd := &cobra.Command{
		Use:   "turn",
		Short: "Run the relay alone",
		Long: `Run the relay (STUN and TURN) alone, until interrupted. At start it prints an
ICE server entry, ready to paste into a peer's configuration.

A signaling server elsewhere issues credentials for it if both have the same
secret:
  sigctl serve --turn off --ice-server turn:HOST:3478 --turn-secret file:PATH`,
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error { return opts.check() },
		RunE:    func(cmd *cobra.Command, _ []string) error { return runTURN(cmd.Context(), opts, std) },
	}
	opts.flags(cmd.Flags())
	return cmd
}

func (o *turnOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.realm, "realm", "sigctl", "`name` of the relay's realm, its domain for example")
	f.StringVar(&o.listen, "listen", ":3478", "`address` of the relay, UDP")
	f.StringVar(&o.publicHost, "public-host", "", "`name` or address by which others reach this machine (default: --external-ip, or this host's address)")
	f.StringVar(&o.externalIP, "external-ip", "", "the relay's `address` behind NAT, [PUBLIC/]LOCAL")
	f.Uint16Var(&o.minPort, "min-port", turnserver.DefaultMinPort, "lowest `port` of relayed addresses")
	f.Uint16Var(&o.maxPort, "max-port", turnserver.DefaultMaxPort, "highest `port` of relayed addresses")
	f.StringVar(&o.secret, "secret", "", "`SRC` of the secret that credentials are issued with: file:PATH or env:NAME (default: one kept in --data)")
	f.StringArrayVar(&o.users, "user", nil, "`name:password` of a static user, for tests (repeatable)")
	f.StringSliceVar(&o.allow, "allow-peer", nil, "`CIDR` that may be reached beside public addresses, e.g. 10.0.0.0/8 (repeatable)")
	f.StringSliceVar(&o.deny, "deny-peer", nil, "`CIDR` that may not be reached; wins over --allow-peer (repeatable)")
	f.IntVar(&o.maxAllocations, "max-allocations", turnserver.DefaultMaxAllocations, "most allocations at once")
	f.IntVar(&o.userQuota, "user-quota", turnserver.DefaultUserQuota, "most allocations of one user at once")
	markSecret(f, "user", secretPair)
	markSecret(f, "secret", secretSource)
}

// check returns all faults of the values, without opening anything.
func (o *turnOptions) check() error {
	var faults []error
	add := func(wrong bool, flag, problem string, hints ...string) {
		if wrong {
			faults = append(faults, badFlag(flag, problem, hints...))
		}
	}
	add(!isListenAddress(o.listen), "listen", fmt.Sprintf("%q is not an address", o.listen), "for example :3478 or 192.0.2.1:3478")
	add(!isHost(o.publicHost), "public-host", fmt.Sprintf("%q is not a host name or address", o.publicHost), "it has no scheme and no port: example.com")
	add(o.minPort == 0 || o.minPort > o.maxPort, "min-port", fmt.Sprintf("%d to %d is no range of ports", o.minPort, o.maxPort))
	add(o.maxAllocations < 1, "max-allocations", "must be at least 1")
	add(o.userQuota < 1, "user-quota", "must be at least 1")
	for _, u := range o.users {
		name, password, _ := strings.Cut(u, ":")
		add(name == "" || password == "", "user", "not name:password") // not shown: it may be a password
	}
	_, allowErr := parsePrefixes("allow-peer", o.allow)
	_, denyErr := parsePrefixes("deny-peer", o.deny)
	faults = append(faults, allowErr, denyErr, checkExternalIP("external-ip", o.externalIP))
	if o.secret != "" {
		_, err := turnSecrets("secret", o.secret, "")
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// parsePrefixes reads CIDRs; an address alone is one, too.
func parsePrefixes(flag string, texts []string) (list []netip.Prefix, err error) {
	for _, text := range texts {
		prefix, parseErr := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			prefix, parseErr = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if parseErr != nil {
			err = errors.Join(err, badFlag(flag, fmt.Sprintf("%q is not a CIDR", text), "for example 10.0.0.0/8"))
			continue
		}
		list = append(list, prefix.Masked())
	}
	return list, err
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

func runTURN(ctx context.Context, opts *turnOptions, std stdio) error {
	log := slog.New(slog.NewTextHandler(std.err, nil))
	opts.warn(log)
	data, err := openDataDir(opts.global.data)
	if err != nil {
		return err
	}
	secrets, err := turnSecrets("secret", opts.secret, data.turnSecret())
	if err != nil {
		return err
	}
	allow, _ := parsePrefixes("allow-peer", opts.allow) // checked
	deny, _ := parsePrefixes("deny-peer", opts.deny)
	relay, err := listenRelay("", &turnserver.Config{
		Listen:         []string{opts.listen},
		Realm:          opts.realm,
		Secrets:        secrets,
		Users:          opts.static(),
		ExternalIP:     opts.externalIP,
		MinPort:        opts.minPort,
		MaxPort:        opts.maxPort,
		Allow:          allow,
		Deny:           deny,
		MaxAllocations: opts.maxAllocations,
		UserQuota:      opts.userQuota,
		Logger:         log,
	})
	if err != nil {
		return err
	}
	defer relay.Close()
	if err := opts.announce(std, relay, secrets); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return relay.Serve(ctx) })
	g.Go(func() error { return watchSecrets(ctx, "secret", opts.secret, secrets, log) })
	return g.Wait()
}

func (o *turnOptions) warn(log *slog.Logger) {
	if len(o.users) > 0 {
		log.Warn("--user: a password in an argument shows in the process list, and never expires; it is for tests")
	}
	if len(o.allow) > 0 {
		log.Warn("--allow-peer: whoever has a credential can send UDP to every service in these ranges", "ranges", o.allow)
	}
}

// announce prints where the relay is, and an ICE server entry as the result.
func (o *turnOptions) announce(std stdio, r *turnserver.Server, secrets *turncred.Secrets) error {
	host := o.publicHost
	if host == "" {
		host = relayHost(o.listen, o.externalIP)
	}
	fmt.Fprintln(std.err, "sigctl is relaying.")
	for _, addr := range r.Addrs() {
		fmt.Fprintf(std.err, "  UDP     %s\n", addr)
	}
	entry := protocol.ICEServer{URLs: turnserver.URLs(host, r.Addrs()[0].Port())}
	if len(o.users) > 0 {
		entry.Username, entry.Credential, _ = strings.Cut(o.users[0], ":")
		fmt.Fprintln(std.err, "An ICE server entry:")
	} else {
		c := secrets.Issue("paste", pasteTTL, time.Now())
		entry.Username, entry.Credential = c.Username, c.Password
		fmt.Fprintf(std.err, "An ICE server entry, good until %s:\n", c.Expires.UTC().Format(time.RFC3339))
	}
	return writeEntry(std.out, entry)
}

func writeEntry(w io.Writer, entry protocol.ICEServer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(entry)
}
