package main

import (
	"errors"
	"fmt"
	"net/netip"
)

// parsePrefixes reads CIDRs; an address alone is one, too.
func parsePrefixes(flag string, texts []string) (list []netip.Prefix, err error) {
	for _, text := range texts {
		prefix, parseErr := parsePrefix(text)
		if parseErr != nil {
			err = errors.Join(err, badFlag(flag, parseErr.Error(), "for example 10.0.0.0/8"))
			continue
		}
		list = append(list, prefix)
	}
	return list, err
}

func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4In6() {
		return prefix, fmt.Errorf("%q is not a CIDR", text)
	}
	return prefix.Masked(), nil
}
