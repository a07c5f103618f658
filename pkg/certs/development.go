package certs

import (
	"crypto/x509"
	"log/slog"
	"path/filepath"
	"slices"
	"time"
)

const (
	serverFile = "server.pem"

	// renewBefore is how long before its end a development certificate is issued again.
	renewBefore = 30 * 24 * time.Hour
)

// Development returns a server certificate of the development CA in the data directory dir, making what is not
// there yet. It covers extra (DNS names and addresses, first), this host's name, localhost and the addresses of
// all interfaces. It is issued again, at start and while the server runs, when it nears its end or when the
// host has got a name or an address that it does not cover.
func Development(dir string, extra []string, log *slog.Logger) (*Reloader, error) {
	return development(dir, extra, log, time.Now)
}

func development(dir string, extra []string, log *slog.Logger, now func() time.Time) (*Reloader, error) {
	ca, err := openCA(dir, now)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, serverFile)
	renew := func(leaf *x509.Certificate) error {
		hosts, err := localHosts(extra)
		if err != nil || ca.good(leaf, hosts) {
			return err
		}
		issued, err := ca.Server(hosts...)
		if err != nil {
			return err
		}
		return replaceFile(path, slices.Concat(issued.Key, issued.Chain))
	}
	var leaf *x509.Certificate // stays nil where the file is missing or broken
	if pair, err := readPair(path, path); err == nil {
		leaf = pair.Leaf
	}
	if err := renew(leaf); err != nil {
		return nil, err
	}
	return load(path, path, renew, log, now)
}

// good reports whether leaf, which may be nil, is this CA's, covers hosts, and lasts for a while or as long as the CA.
func (ca *CA) good(leaf *x509.Certificate, hosts []string) bool {
	if leaf == nil || leaf.CheckSignatureFrom(ca.intermediate) != nil || !covers(leaf, hosts) {
		return false
	}
	return ca.now().Before(leaf.NotAfter.Add(-renewBefore)) || leaf.NotAfter.Equal(ca.intermediate.NotAfter)
}
