package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sigctl/sigctl/pkg/certs"
	"github.com/sigctl/sigctl/pkg/hostaddr"
)

// serverTLS is the certificate of a server. A nil one is none.
type serverTLS struct {
	certificate *certs.Reloader
	caRoot      string // file that clients have to trust; empty: the system knows
}

// loadTLS takes the certificate of --cert and --key. It returns nil without.
func loadTLS(cert, key string, log *slog.Logger, hints ...string) (*serverTLS, error) {
	if cert == "" {
		return nil, nil
	}
	r, err := certs.Load(cert, key, log)
	if err != nil {
		return nil, usage(err, append([]string{"--cert and --key name PEM files that belong together"}, hints...)...)
	}
	return &serverTLS{certificate: r}, nil
}

// checkCert says what is wrong with --cert and --key, but for the files.
func checkCert(cert, key string) error {
	if (cert == "") != (key == "") {
		return badFlag("cert", "certificate and key come together", "give --cert FILE and --key FILE; both may be one file")
	}
	return nil
}

// config returns nil for plain text.
func (t *serverTLS) config(nextProtos ...string) *tls.Config {
	if t == nil {
		return nil
	}
	return t.certificate.TLS(nextProtos...)
}

// publicHost returns the host by which others reach this machine. A wrong guess
// is a name that only this machine knows, so neither localhost nor the host's own
// name is one: it is what was given, or the first DNS name in a certificate that
// somebody else issued, or the address of the relay or of this machine.
func (t *serverTLS) publicHost(given string, relay *relayOptions, addresses *hostaddr.Watcher) string {
	if given != "" {
		return given
	}
	if t != nil && t.caRoot == "" {
		for _, name := range t.certificate.Leaf().DNSNames {
			if !strings.HasPrefix(name, "*") {
				return name
			}
		}
	}
	return relay.publicHost(addresses)
}

// public is the host by which others reach this machine now.
func (a *app) public() string {
	return a.tls.publicHost(a.opts.publicHost, &a.opts.relay, a.addresses)
}

// openTLS opens the certificate of --tls, --cert and --key.
func (a *app) openTLS(context.Context) (err error) {
	if a.opts.tls == "off" {
		return nil
	}
	a.tls, err = loadTLS(a.opts.cert, a.opts.key, a.log, "or leave both out: then the development CA in --data issues one")
	if err != nil || a.tls != nil {
		return err
	}
	r, err := certs.Development(string(a.data), []string{a.public()}, a.log)
	if err != nil {
		return usage(err)
	}
	a.tls = &serverTLS{certificate: r, caRoot: a.data.caRoot()}
	return nil
}

// caRoot is the file that clients have to trust; empty: the system knows.
func (a *app) caRoot() string {
	if a.tls == nil {
		return ""
	}
	return a.tls.caRoot
}

// defaultServer is where chat looks for its server.
const defaultServer = "wss://localhost:9090"

// pageURL and signalURL are for this machine, or name what somebody's certificate
// names.
func (a *app) pageURL() string   { return a.url("https", "http", a.host()) + "/" }
func (a *app) signalURL() string { return a.url("wss", "ws", a.host()) }

// publicURL is for others; it is empty if they cannot reach the listener.
func (a *app) publicURL() string {
	if a.listensOnLoopback() {
		return ""
	}
	return a.url("wss", "ws", a.public())
}

// webSocketURL is told to whoever asks for a room token.
func (a *app) webSocketURL() string {
	switch {
	case a.opts.publicURL != "":
		return a.opts.publicURL
	case a.publicURL() != "":
		return a.publicURL()
	}
	return a.signalURL()
}

func (a *app) host() string {
	at := a.listeners[0].Addr().(*net.TCPAddr).IP
	switch {
	case a.opts.cert != "":
		return a.public()
	case at.IsUnspecified(), len(a.listeners) > 1 && a.listensOnLoopback():
		return "localhost"
	}
	return at.String()
}

// listensOnLoopback reports whether only this machine reaches the listeners.
func (a *app) listensOnLoopback() bool {
	return !slices.ContainsFunc(addrPorts(a.listeners...), func(at netip.AddrPort) bool {
		return !at.Addr().Unmap().IsLoopback()
	})
}

// port is the port of the first listener.
func (a *app) port() string {
	return strconv.Itoa(a.listeners[0].Addr().(*net.TCPAddr).Port)
}

func (a *app) url(secure, plain, host string) string {
	scheme := secure
	if a.opts.tls == "off" {
		scheme = plain
	}
	return scheme + "://" + net.JoinHostPort(host, a.port())
}

// sharedPort is where clients of the relay reach --listen.
func (a *app) sharedPort() string {
	if u, err := url.Parse(a.opts.publicURL); err == nil && u.Scheme == "wss" {
		return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))
	}
	return net.JoinHostPort(a.public(), a.port())
}
