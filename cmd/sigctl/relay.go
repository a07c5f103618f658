package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/sigctl/sigctl/pkg/follow"
	"github.com/sigctl/sigctl/turnserver"
)

// relay is the relay of serve or turn, with the file that it follows.
type relay struct {
	*turnserver.Server
	opts *relayOptions
	log  *slog.Logger

	fixed   peerLists               // of the flags
	peers   *follow.File[peerLists] // nil: none
	drained atomic.Bool             // nothing new is opened
}

// listenRelay opens the relay's sockets. cfg has what is not among the flags of opts.
func listenRelay(opts *relayOptions, cfg *turnserver.Config, trustedProxies []netip.Prefix) (*relay, error) {
	if err := opts.configure(cfg, trustedProxies); err != nil {
		return nil, usage(err)
	}
	r := &relay{opts: opts, log: cfg.Logger, fixed: peerLists{cfg.Allow, cfg.Deny}}
	var err error
	if r.peers, err = opts.openPeers(); err != nil {
		return nil, err
	}
	if r.peers != nil {
		lists := r.lists()
		cfg.Allow, cfg.Deny = lists.allow, lists.deny
	}
	if r.Server, err = turnserver.Listen(cfg); err != nil {
		return nil, opts.listenFault(err, cfg)
	}
	return r, nil
}

// listenFault explains why the relay cannot be started.
func (o *relayOptions) listenFault(err error, cfg *turnserver.Config) error {
	var socket *net.OpError
	if !errors.As(err, &socket) || socket.Addr == nil {
		return bindFault(o.prefix+"listen", err)
	}
	host, port, _ := net.SplitHostPort(socket.Addr.String())
	if slices.ContainsFunc(o.externalIPs, func(value string) bool { return strings.HasSuffix("/"+value, "/"+host) }) {
		return usage(err, "LOCAL of --"+o.prefix+"external-ip [PUBLIC/]LOCAL must be an address of this machine")
	}
	in := func(addresses []string) bool {
		return slices.ContainsFunc(addresses, func(address string) bool {
			h, p, _ := net.SplitHostPort(address)
			return p == port && (h == host || h == "" || net.ParseIP(h).IsUnspecified())
		})
	}
	flag := "listen"
	switch {
	case in(cfg.Listen): // what follows it has the same fault
	case strings.HasPrefix(socket.Net, "tcp") && in(cfg.TLSListen):
		flag = "tls-listen"
	case strings.HasPrefix(socket.Net, "udp") && in(cfg.DTLSListen):
		flag = "dtls-listen"
	}
	return bindFault(o.prefix+flag, err)
}

// lists are what the flags and the file say of peers.
func (r *relay) lists() peerLists {
	file := r.peers.Current()
	return peerLists{slices.Concat(r.fixed.allow, file.allow), slices.Concat(r.fixed.deny, file.deny)}
}

// serve relays until ctx ends or a socket fails.
func (r *relay) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.Server.Serve(ctx) })
	if r.peers != nil {
		g.Go(func() error { r.peers.Watch(ctx, r.setPeers); return nil })
	}
	return g.Wait()
}

// What is logged of a changed file.
const (
	peersChanged = "the list of peers has changed"
	peersKept    = "the changed list of peers cannot be used, the old one stays"
)

// setPeers takes the changed file into use, if nothing is wrong with it.
func (r *relay) setPeers(err error) {
	if err == nil {
		lists := r.lists()
		err = r.SetPeers(lists.allow, lists.deny)
	}
	if err != nil {
		r.log.Error(peersKept, "file", r.opts.peers, "err", err)
		return
	}
	r.log.Info(peersChanged, "file", r.opts.peers)
}

// announce says where clients are served.
func (r *relay) announce(w io.Writer) {
	for _, transport := range []turnserver.Transport{turnserver.UDP, turnserver.TCP, turnserver.TLS, turnserver.DTLS} {
		var at []string
		for _, addr := range r.Addrs(transport) {
			at = append(at, addr.String())
		}
		if len(at) > 0 {
			fmt.Fprintf(w, "  %-7s %s\n", transport, strings.Join(at, " "))
		}
	}
}
