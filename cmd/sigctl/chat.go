package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sigctl/sigctl/peer"
	"github.com/sigctl/sigctl/pkg/certs"
	"github.com/sigctl/sigctl/pkg/protocol"
)

type chatOptions struct {
	global *globalOptions

	user         string
	server       string
	call         string
	room         string
	relay        bool
	passwordFile string
	token        string
	cert, key    string
	ca           string
	insecure     bool
	json         bool
}

func newChat(global *globalOptions, std stdio) *cobra.Command {
	opts := &chatOptions{global: global}
	cmd := &cobra.Command{
		Use:   "chat [--user NAME]",
		Short: "Sign in, call or be called, and talk",
		Long: `Sign in, call or be called, and talk, encrypted from end to end.

On a terminal it is a full-screen chat; /help lists its commands. Piped, lines go
in and lines come out (user2: hello). The caller hangs up at the end of its input,
once everything was received; the other side waits for a call, takes more while
its input is open, and ends with its input and the call that goes on then. The
first call gets the input from its start. After that, a line is for the call that
is on when you write it: lines between calls, and what a call leaves unsent, are
reported and never go to the next caller.

The password is that of --password-file, or SIGCTL_PASSWORD, or asked for. Instead
a token signs in, a room token (sigctl token) or one of an issuer that the server
trusts, or a client certificate. On the machine that runs the server its
development CA in --data is trusted; elsewhere name it with --ca.`,
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error { return opts.check() },
		RunE:    func(cmd *cobra.Command, _ []string) error { return runChat(cmd.Context(), opts, std) },
	}
	opts.flags(cmd.Flags())
	return cmd
}

func (o *chatOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.user, "user", "", "`name` to sign in with")
	f.StringVar(&o.call, "call", "", "`name` to call (default: wait for a call)")
	f.StringVar(&o.room, "room", "", "`name` of the room (default: the lobby, or that of the token)")
	f.StringVar(&o.server, "server", defaultServer, "`URL` of the signaling server")
	f.StringVar(&o.passwordFile, "password-file", "", "`file` with the password (default: SIGCTL_PASSWORD, or ask)")
	f.StringVar(&o.token, "token", "", "`SRC` of a token, in place of a password; read again when it expires")
	markSecret(f, "token", secretSource)
	f.StringVar(&o.cert, "cert", "", "PEM `file` with a client certificate, in place of a password")
	f.StringVar(&o.key, "key", "", "PEM `file` with the certificate's key")
	f.BoolVar(&o.relay, "relay", false, "use the relay only, so that the other side does not learn your address")
	f.StringVar(&o.ca, "ca", "", "PEM `file` of the only CA to trust")
	f.BoolVar(&o.insecure, "insecure", false, "trust any server: anyone on the network path can read password and token")
	f.BoolVar(&o.json, "json", false, "print one JSON object per line for everything that happens")
}

// check returns all faults of the values.
func (o *chatOptions) check() error {
	var faults []error
	add := func(wrong bool, flag, problem string, hints ...string) {
		if wrong {
			faults = append(faults, badFlag(flag, problem, hints...))
		}
	}
	const names = "a name is 1 to 64 letters, digits and . _ @ + -"
	add(o.user == "" && o.token == "", "user", "is needed", "for example: sigctl chat --user user1")
	add(o.user != "" && !protocol.ValidName(o.user), "user", fmt.Sprintf("%q is not a user name", o.user), names)
	add(o.call != "" && !protocol.ValidName(o.call), "call", fmt.Sprintf("%q is not a user name", o.call), names)
	add(o.call != "" && o.call == o.user, "call", "nobody can call themselves")
	add(o.room != "" && !protocol.ValidName(o.room), "room", fmt.Sprintf("%q is not a room name", o.room), names)
	add(o.token != "" && o.passwordFile != "", "token", "does not go with --password-file", "leave one of them out")
	add((o.cert == "") != (o.key == ""), "cert", "certificate and key come together", "give --cert FILE and --key FILE; both may be one file")
	u, err := url.Parse(o.server)
	wrong := err != nil || u.Scheme != "wss" && u.Scheme != "ws" || u.Host == ""
	add(wrong, "server", fmt.Sprintf("%q is not a WebSocket URL", o.server), "for example wss://example.com:9090")
	add(!wrong && u.Scheme == "ws" && !o.insecure && !isLoopback(u.Hostname()), "server",
		"ws:// would send password or token readable over the network", "use wss://, or --insecure if you know the way is safe")
	return errors.Join(faults...)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func runChat(ctx context.Context, opts *chatOptions, std stdio) error {
	if opts.insecure {
		slog.New(slog.NewTextHandler(std.err, nil)).Warn(
			"--insecure: the server is not checked: whoever is on the way can read password and token, and listen")
	}
	trust, err := opts.tls()
	if err != nil {
		return err
	}
	config := &peer.Config{
		User:      opts.user,
		Room:      opts.room,
		TLSConfig: trust,
		RelayOnly: opts.relay,
		MaxCalls:  1, // people talk to one at a time
	}
	switch opts.means() {
	case "token":
		config.Token = tokenSource(opts.token)
	case "password":
		if config.Password, err = signInPassword(ctx, opts.passwordFile, opts.user, std); err != nil {
			return err
		}
	}
	in, typed := isTerminal(std.in)
	if _, shown := isTerminal(std.out); typed && shown && !opts.json {
		return chatScreen(ctx, config, opts, in, std)
	}
	client, err := peer.Dial(ctx, opts.server, config)
	if err != nil {
		return opts.dialFault(err)
	}
	defer client.Close()
	return opts.endFault(chatLines(ctx, client, opts, std))
}

// tls returns what the server must prove, and what proves this side's name to it.
func (o *chatOptions) tls() (*tls.Config, error) {
	config, err := o.trust()
	if err != nil || o.cert == "" {
		return config, err
	}
	pair, err := tls.LoadX509KeyPair(o.cert, o.key)
	if err != nil {
		return nil, badFlag("cert", err.Error(), "sigctl cert client makes one; --cert and --key name PEM files that belong together")
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// trust returns what the server must prove.
func (o *chatOptions) trust() (*tls.Config, error) {
	if o.insecure {
		return &tls.Config{InsecureSkipVerify: true}, nil
	}
	var pool *x509.CertPool
	var err error
	if o.ca != "" {
		pool, err = certs.Pool(o.ca)
	} else {
		if err := checkOwner(o.global.data); err != nil {
			return nil, err
		}
		pool, err = certs.SystemPool(o.global.data)
	}
	if err != nil {
		return nil, usage(fmt.Errorf("trusted CA: %w", err), "sigctl cert ca prints the server's, on its machine")
	}
	return &tls.Config{RootCAs: pool}, nil
}

// dialFault explains why nobody was signed in.
func (o *chatOptions) dialFault(err error) error {
	fail := func(code int, hints ...string) error { return &fault{err: err, code: code, hints: hints} }
	var refused *peer.ServerError
	var usage *fault
	var unknown x509.UnknownAuthorityError
	var wrongHost x509.HostnameError
	var alert *net.OpError // of TLS, where it is a remote error
	errors.As(err, &refused)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &usage):
		return usage
	case refused != nil:
		return fail(exitAuth, o.refusalHint(refused))
	case errors.Is(err, peer.ErrAuth):
		return fail(exitAuth, "--user and --room must be those that the server knows this "+o.means()+" for")
	case errors.As(err, &unknown):
		return fail(exitNoConnection, "the server's CA is not trusted here: get it there with sigctl cert ca --out ca.pem, then use --ca ca.pem")
	case errors.As(err, &alert) && alert.Op == "remote error":
		return fail(exitAuth, "the server takes who has a good certificate of its client CA: --cert FILE --key FILE")
	case errors.As(err, &wrongHost):
		return fail(exitNoConnection, "use a name of the certificate, or start the server with --public-host NAME")
	case errors.Is(err, syscall.ECONNREFUSED):
		return fail(exitNoConnection, "nothing listens there: start it with sigctl serve, or name another with --server wss://HOST:PORT")
	}
	return fail(exitNoConnection, "is --server "+o.server+" right?")
}

// refusalHint says what to do about a sign-in that the server refused.
func (o *chatOptions) refusalHint(refused *peer.ServerError) string {
	switch refused.Code {
	case protocol.CodeAlreadyLoggedIn:
		return cmp.Or(o.user, "the token's user") + " is signed in already: end that chat first"
	case protocol.CodeInternal:
		return "this is no fault of yours: the server's log says what is wrong there"
	case protocol.CodeBusy, protocol.CodeRateLimited:
		if refused.RetryAfter > 0 {
			return fmt.Sprintf("try again in %d s", refused.RetryAfter)
		}
		return "try again in a moment"
	case protocol.CodeForbidden, protocol.CodeNotInRoom:
		return "the server's policy, and a token or certificate, say who may join which room"
	}
	switch o.means() {
	case "token":
		return newTokenHint
	case "certificate":
		return "the server's log says why; sigctl cert client makes another"
	}
	return "on the server's machine, sigctl user list shows who may sign in, and sigctl user passwd " + o.user + " sets a password"
}

// means is what signs in.
func (o *chatOptions) means() string {
	switch {
	case o.token != "":
		return "token"
	case o.cert != "" && o.passwordFile == "":
		return "certificate"
	}
	return "password"
}

const newTokenHint = "ask for a new token, or use --password-file"

// endFault explains the end of a sign-in that could not be renewed.
func (o *chatOptions) endFault(err error) error {
	if !errors.Is(err, peer.ErrExpired) {
		return err
	}
	f := &fault{err: err, code: exitAuth}
	if o.means() == "token" {
		f.hints = []string{newTokenHint}
	}
	return f
}

// callFault explains why a call came to nothing.
func callFault(name string, err error) error {
	switch {
	case errors.Is(err, peer.ErrOffline):
		return hint(err, name+" has to be signed in: sigctl chat --user "+name)
	case errors.Is(err, peer.ErrTimeout):
		return hint(err, "is the relay reachable? try --relay; the server's --public-host must be a name that both sides can reach")
	}
	return err
}
