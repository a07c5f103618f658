package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strconv"
	"strings"

	"github.com/sigctl/sigctl/pkg/certs"
)

// tls returns the configuration of --tls, --cert and --key: nil is plain text.
// The certificate is returned too if somebody else issued it.
func (a *app) tls() (*tls.Config, *x509.Certificate, error) {
	switch {
	case a.opts.tls == "off":
		return nil, nil, nil
	case a.opts.cert != "":
		r, err := certs.Load(a.opts.cert, a.opts.key, a.log)
		if err != nil {
			return nil, nil, usage(err, "--cert and --key name PEM files that belong together",
				"or leave both out: then the development CA in --data issues one")
		}
		return r.TLS("http/1.1"), r.Leaf(), nil
	}
	var extra []string
	if a.opts.publicHost != "" {
		extra = append(extra, a.opts.publicHost)
	}
	r, err := certs.Development(string(a.data), extra, a.log)
	if err != nil {
		return nil, nil, usage(err)
	}
	a.caRoot = a.data.caRoot()
	return r.TLS("http/1.1"), nil, nil
}

// defaultServer is where chat looks for its server.
const defaultServer = "wss://localhost:9090"

// pageURL and signalURL are for this machine, or name what somebody's certificate
// names.
func (a *app) pageURL() string   { return a.url("https", "http", a.host()) + "/" }
func (a *app) signalURL() string { return a.url("wss", "ws", a.host()) }

// publicURL is for others; it is empty if they cannot reach the listener.
func (a *app) publicURL() string {
	if a.listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return ""
	}
	return a.url("wss", "ws", a.public)
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
	at := a.listener.Addr().(*net.TCPAddr)
	switch {
	case a.opts.cert != "":
		return a.public
	case at.IP.IsUnspecified():
		return "localhost"
	}
	return at.IP.String()
}

func (a *app) url(secure, plain, host string) string {
	scheme := secure
	if a.opts.tls == "off" {
		scheme = plain
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(a.listener.Addr().(*net.TCPAddr).Port))
}

// publicHost returns the host by which others reach this machine. A wrong guess
// is a name that only this machine knows, so neither localhost nor the host's own
// name is one: it is what was given, or the first DNS name in a certificate that
// somebody issued, or the address of the relay or of this machine.
func (a *app) publicHost(issued *x509.Certificate) string {
	if a.opts.publicHost != "" {
		return a.opts.publicHost
	}
	if issued != nil {
		for _, name := range issued.DNSNames {
			if !strings.HasPrefix(name, "*") {
				return name
			}
		}
	}
	return relayHost(a.opts.turnListen, a.opts.turnExternalIP)
}
