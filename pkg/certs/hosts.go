package certs

import (
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// maxHosts bounds a certificate on a machine with very many addresses.
const maxHosts = 100

// localHosts returns what a development certificate covers: extra, this host's name, localhost, the loopback
// addresses and the addresses of all interfaces, link-local ones excepted; at most maxHosts of them.
func localHosts(extra []string) ([]string, error) {
	hosts := slices.Clone(extra)
	if name, err := os.Hostname(); err == nil && isDNSName(name) {
		hosts = append(hosts, name)
	}
	hosts = append(hosts, "localhost", "127.0.0.1", "::1")
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address.String())
		if err == nil && !prefix.Addr().IsLinkLocalUnicast() {
			hosts = append(hosts, prefix.Addr().String())
		}
	}
	return firstOfEach(hosts, maxHosts), nil
}

// firstOfEach drops what is there already, letter case aside, and all beyond the first n.
func firstOfEach(hosts []string, n int) []string {
	var kept []string
	for _, host := range hosts {
		host = strings.ToLower(host)
		if !slices.Contains(kept, host) && len(kept) < n {
			kept = append(kept, host)
		}
	}
	return kept
}

// covers reports whether c names all hosts.
func covers(c *x509.Certificate, hosts []string) bool {
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			if !slices.ContainsFunc(c.IPAddresses, ip.Equal) {
				return false
			}
		} else if !slices.Contains(c.DNSNames, strings.ToLower(host)) {
			return false
		}
	}
	return true
}

const (
	lettersAndDigits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	maxDNSName       = 253
	maxDNSLabel      = 63
)

// isDNSName reports whether name is a host name (RFC 1123, underscores tolerated), perhaps with a wildcard label.
func isDNSName(name string) bool {
	if len(name) > maxDNSName {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(name, "*."), ".") {
		if label == "" || len(label) > maxDNSLabel || strings.Trim(label, lettersAndDigits+"-_") != "" {
			return false
		}
	}
	return true
}
