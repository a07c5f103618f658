package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"github.com/sigctl/sigctl/pkg/hostaddr"
)

// hostAddress returns the address from which this machine would reach the world now, or else its
// first usable one, or else loopback.
func hostAddress(addresses []hostaddr.Address) netip.Addr {
	for _, probe := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} { // RFC 5737, RFC 3849; connecting UDP sends nothing
		conn, err := net.Dial("udp", probe)
		if err != nil {
			continue
		}
		addr := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		conn.Close()
		if addr.IsGlobalUnicast() {
			return addr
		}
	}
	for _, a := range addresses {
		if a.IsUsable() {
			return a.Addr()
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

var errNoAddress = errors.New("this machine has no address but loopback and link-local ones: others cannot reach it")

// reachable returns errNoAddress if a listener is to be reached by other machines at any address of
// this one, and there is none.
func reachable(addresses []hostaddr.Address, listens ...string) error {
	if slices.ContainsFunc(addresses, hostaddr.Address.IsUsable) || !slices.ContainsFunc(listens, isWildcard) {
		return nil
	}
	return errNoAddress
}

// isWildcard reports whether "host:port" stands for all addresses of this machine.
func isWildcard(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// watchURLs returns what logs the relay's URLs, until ctx ends, when they change with this machine's
// addresses. Changes count from now on.
func watchURLs(ctx context.Context, addresses *hostaddr.Watcher, urls func() []string, log *slog.Logger) func() error {
	changed, stop := addresses.Watch()
	last := urls()
	return func() error {
		defer stop()
		for {
			select {
			case <-changed:
			case <-ctx.Done():
				return nil
			}
			if now := urls(); !slices.Equal(now, last) {
				log.Info("clients must now use other URLs for the relay", "urls", now)
				last = now
			}
		}
	}
}
