package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/sigctl/sigctl/turnserver"
)

func (a *app) openRelay(context.Context) (err error) {
	if a.opts.turn == "off" {
		return nil
	}
	cfg := &turnserver.Config{
		TLS:       a.tls.config(),
		Addresses: a.addresses,
		Realm:     "sigctl",
		Secrets:   a.secrets,
		Allow:     a.opts.demoPeers(),
		Reserved:  addrPorts(append(slices.Clone(a.listeners), a.operations)...),
		Allocated: a.recordAllocation,
		Known:     a.known,
		Logger:    a.log,

		MaxPending: a.budget.turnPending, MaxAllocations: a.budget.allocations,
	}
	trusted, err := parsePrefixes("trusted-proxy", a.opts.proxy.trusted)
	if err != nil {
		return err
	}
	if a.relay, err = listenRelay(&a.opts.relay, cfg, trusted); err != nil {
		return err
	}
	a.budget.report(a.log, &a.opts.relay)
	for name, until := range a.kicked {
		a.relay.Kick(name, until)
	}
	a.onClose(a.relay.Close)
	return nil
}

// relayURLs are those of our own relay: UDP first, and last what gets through where
// little else does.
func (a *app) relayURLs() []string {
	if a.relay == nil {
		return nil
	}
	urls := a.relay.URLs(a.public())
	if a.opts.sharePort {
		urls = append(urls, "turns:"+a.sharedPort()+"?transport=tcp")
	}
	return lastHTTPS(urls)
}

// lastHTTPS puts those on the port of HTTPS behind all others.
func lastHTTPS(urls []string) []string {
	const https = ":443?transport=tcp"
	slices.SortStableFunc(urls, func(u, v string) int {
		return cmp.Compare(strings.Count(u, https), strings.Count(v, https))
	})
	return slices.Compact(urls)
}

// ready returns an error if other machines cannot reach this one, or the relay does not relay.
func (a *app) ready(ctx context.Context) error {
	if a.relay == nil {
		return reachable(a.addresses.Current(), a.opts.listen...)
	}
	listens := slices.Concat(a.opts.listen, a.opts.relay.listen)
	return errors.Join(reachable(a.addresses.Current(), listens...), a.relay.Check(ctx))
}

// drain makes the relay open nothing new, and tells who signs in of others, if there
// are any.
func (a *app) drain(ctx context.Context, m drainRequest) (drainAnswer, error) {
	if a.relay == nil {
		return drainAnswer{}, errNoRelay
	}
	if a.ice.drain() {
		a.adminAction("drain the relay", "")
	}
	return a.relay.drain(ctx, m)
}

// addrPorts returns where listeners of TCP listen; nil is none.
func addrPorts(listeners ...net.Listener) (list []netip.AddrPort) {
	for _, l := range listeners {
		if l != nil {
			list = append(list, l.Addr().(*net.TCPAddr).AddrPort())
		}
	}
	return list
}
