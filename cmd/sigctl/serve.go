package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type serveOptions struct {
	global *globalOptions

	listen       []string
	tls          string
	cert, key    string
	publicHost   string
	publicURL    string
	allowOrigins []string
	store        storeOptions
	access       accessOptions
	clients      clientOptions
	proxy        proxyOptions
	audit        auditOptions

	turn       string
	relay      relayOptions
	sharePort  bool
	iceServers []string
	operations operationsOptions

	demo bool
}

func newServe(global *globalOptions, std stdio) *cobra.Command {
	opts := &serveOptions{global: global}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the signaling server, the page and the relay",
		Long: `Run the signaling server, the page and the relay, until interrupted.

With --demo there are two users to try things with, user1 (password1) and user2
(password2), and every room is open. A demo listens on loopback only, so nobody on
another machine can connect, unless --listen names another address.
Otherwise add users with: sigctl user add NAME

Users sign in with a password, a token of --oidc-issuer, a certificate of
--client-ca, or a token of sigctl token. All may do everything in the room lobby,
and there is no other, unless --policy names a file of rules such as

  rules:
    - users: [alice, "*@example.com"]
      rooms: [lobby, "team-*"]
      allow: [join, data, publish, subscribe]

It is followed while the server runs, and so are the files of certificates.`,
		Args: cobra.NoArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			opts.complete(cmd.Flags())
			return opts.check()
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return runServe(cmd.Context(), opts, std) },
	}
	opts.flags(cmd.Flags())
	return cmd
}

// flags adds all flags to f, the most used first.
func (o *serveOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	topic(f, "Most used", o.commonFlags)
	topic(f, "Page and signaling", func(f *pflag.FlagSet) {
		o.pageFlags(f)
		o.proxy.flags(f)
	})
	topic(f, "Users, tokens and permissions", func(f *pflag.FlagSet) {
		o.store.flags(f)
		o.access.flags(f)
	})
	topic(f, "Client certificates", o.clients.flags)
	topic(f, "Relay", func(f *pflag.FlagSet) {
		o.relayFlags(f)
		o.relay.listenFlags(f, "turn-")
	})
	o.relay.boundFlags(f)
	topic(f, "Operations", func(f *pflag.FlagSet) {
		o.audit.flags(f)
		o.operations.flags(f)
	})
}

func (o *serveOptions) commonFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.demo, "demo", false, "serve this machine only, to try things: users user1/password1 and user2/password2, and a relay that forwards to loopback")
	f.StringSliceVar(&o.listen, "listen", []string{":9090"}, "`address` for HTTPS and WebSocket; with --demo loopback only unless given (repeatable)")
	f.StringVar(&o.publicHost, "public-host", "", "`name` or address that others reach this machine by (default: from --cert, or this host's address)")
	f.StringVar(&o.cert, "cert", "", "PEM `file` with the certificate chain, followed while the server runs")
	f.StringVar(&o.key, "key", "", "PEM `file` with the certificate's key")
	f.StringVar(&o.tls, "tls", "auto", "auto: without --cert the development CA issues a certificate; or off")
}

func (o *serveOptions) pageFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.allowOrigins, "allow-origin", nil, "`origin` of another page that may connect, e.g. https://example.com (repeatable)")
	f.StringVar(&o.publicURL, "public-url", "", "`URL` that clients reach the WebSocket by, behind a proxy: wss://signal.example.com")
}

func (o *serveOptions) relayFlags(f *pflag.FlagSet) {
	f.StringVar(&o.turn, "turn", "on", "run the relay: on or off")
	f.StringSliceVar(&o.iceServers, "ice-server", nil, "`URL` of another STUN or TURN server that shares the secret (repeatable)")
	f.BoolVar(&o.sharePort, "share-port", false, "serve TURN over TLS on the port of --listen, too: some networks let only 443 out")
}

// check returns all faults of the values, without opening anything.
func (o *serveOptions) check() error {
	var faults []error
	add := func(wrong bool, flag, problem string, hints ...string) {
		if wrong {
			faults = append(faults, badFlag(flag, problem, hints...))
		}
	}
	add(len(o.listen) == 0, "listen", "needs an address", "for example :9090 or 127.0.0.1:9090")
	for _, address := range o.listen {
		add(!isListenAddress(address), "listen", fmt.Sprintf("%q is not an address", address), "for example :9090 or 127.0.0.1:9090")
	}
	add(o.tls != "auto" && o.tls != "off", "tls", fmt.Sprintf("%q is neither auto nor off", o.tls))
	add(o.tls == "off" && o.cert != "", "cert", "does not go with --tls off", "leave one of them out")
	add(!isHost(o.publicHost), "public-host", fmt.Sprintf("%q is not a host name or address", o.publicHost), "it has no scheme and no port: example.com")
	for _, origin := range o.allowOrigins {
		add(!isOrigin(origin), "allow-origin", fmt.Sprintf("%q is not an origin", origin), "for example https://example.com or http://localhost:*")
	}
	add(o.turn != "on" && o.turn != "off", "turn", fmt.Sprintf("%q is neither on nor off", o.turn))
	add(o.sharePort && o.turn == "off", "share-port", "does not go with --turn off", "leave one of them out")
	add(o.sharePort && o.tls == "off", "share-port", "does not go with --tls off",
		"TURN is told from HTTPS inside TLS: a proxy in front has to pass TLS through, see --proxy-protocol")
	add(o.sharePort && o.clients.auth == "required", "share-port", "does not go with --client-auth required",
		"no TURN client shows a certificate: leave one of them out, or let --client-auth be optional")
	for _, u := range o.iceServers {
		if err := checkICEURL(u); err != nil {
			add(true, "ice-server", err.Error(), "for example stun:stun.example.com:3478 or turn:turn.example.com:3478")
		}
	}
	add(o.demo && o.store.redis != "", "demo", "has users of its own, and does not go with --redis", "leave one of them out")
	needsTLS := ""
	if o.tls == "off" {
		needsTLS = "leave out --tls off, or this flag"
	}
	return errors.Join(append(faults, checkCert(o.cert, o.key), checkPublicURL(o.publicURL), o.relay.check(needsTLS, o.proxy.trusted), o.operations.check(),
		o.store.check(), o.access.check(), o.clients.check(o.tls), o.proxy.check())...)
}

// isListenAddress reports whether s is [HOST]:PORT.
func isListenAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = net.LookupPort("tcp", port)
	return err == nil
}

// isHost reports whether s is a host name or address, or empty.
func isHost(s string) bool {
	return s == "" || net.ParseIP(s) != nil || !strings.ContainsAny(s, ":/ @[]?#%")
}

// isOrigin reports whether s is scheme://host[:port]; the port may be *.
func isOrigin(s string) bool {
	u, err := url.Parse(strings.TrimSuffix(s, ":*"))
	return err == nil && u.Host != "" && slices.Contains([]string{"http", "https"}, u.Scheme) &&
		u.Path == "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// checkPublicURL says what is wrong with a value of --public-url.
func checkPublicURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "wss" && u.Scheme != "ws" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return badFlag("public-url", fmt.Sprintf("%q is not a WebSocket URL", s), "for example wss://signal.example.com")
	}
	return nil
}

func runServe(ctx context.Context, opts *serveOptions, std stdio) (err error) {
	log := slog.New(slog.NewTextHandler(std.err, nil))
	opts.warn(log)
	a, err := newApp(ctx, opts, std, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	a.announce(std.err)
	if err := a.serve(ctx); err != nil {
		return err
	}
	fmt.Fprintln(std.err, "Stopped.")
	return nil
}

// warn says loudly what weakens security.
func (o *serveOptions) warn(log *slog.Logger) {
	if o.demo {
		o.warnDemo(log)
	}
	o.relay.warn(log)
	if o.tls == "off" {
		log.Warn("--tls off: passwords and messages of signaling can be read on the way")
	}
	if o.store.redisPlaintext {
		log.Warn("--redis-plaintext: passwords that are in Redis in plain text are accepted, and hashed at the first login")
	}
}
