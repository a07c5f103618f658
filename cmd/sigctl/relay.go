package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"

	"github.com/sigctl/sigctl/turnserver"
)

// listenRelay opens the relay's sockets; flags is what the names of its flags
// begin with.
func listenRelay(flags string, cfg *turnserver.Config) (*turnserver.Server, error) {
	server, err := turnserver.Listen(cfg)
	switch {
	case err == nil:
		return server, nil
	case cfg.ExternalIP != "" && errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, usage(err, "LOCAL of --"+flags+"external-ip [PUBLIC/]LOCAL must be an address of this machine")
	}
	return nil, bindFault(flags+"listen", err)
}

// loopback is what --demo lets the relay forward to.
var loopback = []string{"127.0.0.0/8", "::1/128"}

// relayHost returns the host for the URLs of a relay on listen, which is a value
// of --listen or --turn-listen.
func relayHost(listen, externalIP string) string {
	if public, _, _ := strings.Cut(externalIP, "/"); public != "" {
		return public
	}
	at, err := netip.ParseAddrPort(listen)
	if err != nil || at.Addr().IsUnspecified() {
		return hostAddress().String()
	}
	return at.Addr().String()
}

// checkExternalIP says what is wrong with [PUBLIC/]LOCAL.
func checkExternalIP(flag, value string) error {
	if value == "" {
		return nil
	}
	for part := range strings.SplitSeq(value, "/") {
		if addr, err := netip.ParseAddr(part); err != nil || !addr.Is4() || addr.IsUnspecified() || strings.Count(value, "/") > 1 {
			return badFlag(flag, fmt.Sprintf("%q is not [PUBLIC/]LOCAL", value), "two IPv4 addresses, for example 203.0.113.7/10.0.0.5")
		}
	}
	return nil
}
