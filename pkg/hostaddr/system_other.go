//go:build !linux

package hostaddr

import (
	"net"
	"net/netip"
)

func openSystem() (system, error) { return polled{newPoller()}, nil }

// polled is a system that only lists.
type polled struct{ *poller }

func (polled) list() ([]Address, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var list []Address
	for _, address := range all {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil {
			list = append(list, Address{Prefix: prefix})
		}
	}
	return list, nil
}
