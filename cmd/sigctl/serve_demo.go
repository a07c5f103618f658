package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"github.com/spf13/pflag"

	"github.com/sigctl/sigctl/pkg/user"
)

// demoUsers are the users of --demo. Their passwords are published.
var demoUsers = map[string]string{"user1": "password1", "user2": "password2"}

// demoOrigins are the pages that a demo for this machine lets connect.
var demoOrigins = []string{
	"http://localhost:*", "https://localhost:*", "http://127.0.0.1:*", "https://127.0.0.1:*",
}

// complete sets the flags whose defaults depend on others: a demo listens on loopback only, its relay
// too unless others can sign in.
func (o *serveOptions) complete(f *pflag.FlagSet) {
	if !o.demo {
		return
	}
	if !f.Changed("listen") {
		o.listen = onLoopback(o.listen)
	}
	if !f.Changed("turn-listen") && isLoopbackOnly(o.listen) && !o.isProxied() {
		o.relay.listen = onLoopback(o.relay.listen)
	}
}

// onLoopback returns the ports of addresses on each loopback address that this machine has.
func onLoopback(addresses []string) (list []string) {
	for _, address := range addresses {
		_, port, _ := net.SplitHostPort(address) // a default of ours
		list = append(list, net.JoinHostPort("127.0.0.1", port))
		if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
			l.Close()
			list = append(list, net.JoinHostPort("::1", port))
		}
	}
	return list
}

// isLoopbackOnly reports whether programs on other machines cannot reach any of addresses. Names
// other than localhost are not looked up: they may change.
func isLoopbackOnly(addresses []string) bool {
	return !slices.ContainsFunc(addresses, func(address string) bool {
		host, _, err := net.SplitHostPort(address)
		return err != nil || !isLoopback(host)
	})
}

// isProxied reports whether a proxy connects to o on behalf of programs on other machines.
func (o *serveOptions) isProxied() bool { return len(o.proxy.trusted) > 0 || o.publicURL != "" }

// isLocalDemo reports whether o is a demo that only programs on this machine can connect to: every
// listener is on loopback, and there is no proxy.
func (o *serveOptions) isLocalDemo() bool {
	listen := slices.Concat(o.listen, o.relay.listen, addresses(o.relay.tlsListen), addresses(o.relay.dtlsListen))
	return o.demo && isLoopbackOnly(listen) && !o.isProxied()
}

// demoPeers are the special addresses that the relay of a demo forwards to.
func (o *serveOptions) demoPeers() []netip.Prefix {
	if !o.isLocalDemo() {
		return nil
	}
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// origins are the pages of other servers that may connect.
func (o *serveOptions) origins() []string {
	if !o.isLocalDemo() {
		return o.allowOrigins
	}
	return append(slices.Clone(o.allowOrigins), demoOrigins...)
}

// warnDemo says what --demo opens, and to whom.
func (o *serveOptions) warnDemo(log *slog.Logger) {
	const users = "can sign in as user1 (password1) or user2 (password2)"
	if !o.isLocalDemo() {
		log.Warn("--demo: anyone who reaches this server " + users)
		return
	}
	log.Warn("--demo: every program on this machine, and none elsewhere, " + users)
	log.Warn("--demo: the relay forwards to loopback addresses of this machine")
	log.Warn("--demo: pages of localhost, on any port, may connect")
}

// announceDemo says who can connect to a demo, if that is not everyone.
func (a *app) announceDemo(line func(name string, values ...string)) {
	if a.opts.isLocalDemo() {
		line("others", "none: this demo is for this machine only; let other machines in with --listen :"+a.port())
	}
}

func addDemoUsers(ctx context.Context, store user.Store) error {
	for name, password := range demoUsers {
		u, err := user.New(name, password, user.DefaultParams)
		if err != nil {
			return err
		}
		if err := store.Add(ctx, u); err != nil {
			return fmt.Errorf("add the demo's users: %w", err)
		}
	}
	return nil
}
