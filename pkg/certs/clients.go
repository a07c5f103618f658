package certs

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"
)

// ClientOptions says which client certificates a server takes, and whose they are.
type ClientOptions struct {
	// CA is a PEM file with the CAs that vouch for clients: one or more roots, and CAs below them, which clients then
	// need not send. A CA whose issuer is not in the file counts as a root. Everything that a root of the file issued,
	// through however many CAs, is accepted: to trust a second CA alone, leave its root out. Required.
	CA string
	// CRL is a file with revocation lists, PEM or one in DER; empty: nothing is revoked. If it is given, a client's
	// issuer must have a list in it that is valid now; the CAs above are checked where their issuer has one.
	CRL string
	// Required refuses clients that have no certificate. By default they get in, and sign in by other means.
	Required bool
	// Identity says what in a certificate is the user's name, which it must have exactly once: "email" (an e-mail
	// address among the alternative names; the default), "cn" (the common name of the subject) or
	// "uri-regexp=EXPRESSION" (a URI among the alternative names that the whole expression matches, of which its first
	// group is the name).
	Identity string
	// Refused, if not nil, is told of each certificate that a handshake refuses, before the client is. Subject is what the
	// certificate claims: whoever sent it has not proved yet that it is theirs. Reason begins with one of "expired:",
	// "not yet valid:", "wrong CA:", "CA not valid:", "not for client authentication:", "revoked:", "no revocation
	// list:", "revocation list expired:", "no identity:", "several identities:", "bad name:", "too many certificates:",
	// "not valid:". Both are at most some hundred bytes long, and may hold any character. It is called by many handshakes at once.
	Refused func(addr net.Addr, subject, reason string)
	// Logger is told of replaced and broken files; nil: nobody is.
	Logger *slog.Logger
}

// Clients authenticates the clients of a TLS server by their certificates. It follows its files as Reloader does:
// broken ones leave the old in force, until they expire. Files should be replaced by renaming.
type Clients struct {
	// set at construction
	options  ClientOptions
	identity identity
	now      func() time.Time
	bundles  watch
	crls     *watch // nil: without CRL

	bundle atomic.Pointer[bundle]
	lists  atomic.Pointer[revocationLists]
}

// Client is who a certificate says the client is.
type Client struct {
	User    string
	Source  string    // the CA that vouches: "ca:" and 16 hex digits of SHA-256 over its SubjectPublicKeyInfo
	Expires time.Time // when the first certificate of the chain does
}

// OpenClients reads the files that o names. Expired ones are read, with a warning: they refuse those whom they concern.
func OpenClients(o *ClientOptions) (*Clients, error) { return openClients(o, time.Now) }

func openClients(o *ClientOptions, now func() time.Time) (*Clients, error) {
	c := &Clients{options: *o, now: now}
	log := cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.CA == "" {
		return nil, errors.New("client CA: name a PEM file with the CAs that issue client certificates")
	}
	var err error
	if c.identity, err = parseIdentity(o.Identity); err != nil {
		return nil, err
	}
	c.bundles = watch{what: "client CA", files: []string{o.CA}, load: c.loadBundle, log: log, now: now}
	if err := c.bundles.start(); err != nil {
		return nil, fmt.Errorf("client CA: %w", err)
	}
	if o.CRL == "" {
		return c, nil
	}
	c.crls = &watch{what: "client CRL", files: []string{o.CRL}, load: c.loadLists, log: log, now: now}
	if err := c.crls.start(); err != nil {
		return nil, fmt.Errorf("client CRL: %w", err)
	}
	return c, nil
}

func (c *Clients) loadBundle() (time.Time, error) {
	b, expires, err := readBundle(c.options.CA)
	if err == nil {
		c.bundle.Store(b)
	}
	return expires, err
}

func (c *Clients) loadLists() (time.Time, error) {
	lists, expires, err := readRevocationLists(c.options.CRL, c.bundle.Load())
	if err == nil {
		c.lists.Store(&lists)
	}
	return expires, err
}

// Server returns base with client authentication: a handshake with a certificate that is refused fails, and so does one
// that resumes a session whose certificate would be refused now. Without Required, a client that has no certificate gets
// in. What is set in the result later does not count, session ticket keys excepted.
//
// Our own check takes the place of the one of crypto/tls, which knows neither revocation nor reasons. In TLS 1.3 a client
// learns of its refusal when it first reads: for it, the handshake is done by then.
func (c *Clients) Server(base *tls.Config) *tls.Config {
	base = base.Clone()
	server := base.Clone()
	server.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		config := base
		if base.GetConfigForClient != nil {
			switch other, err := base.GetConfigForClient(hello); {
			case err != nil:
				return nil, err
			case other != nil:
				config = other
			}
		}
		return c.forConn(config, hello.Conn.RemoteAddr()), nil
	}
	return server
}

// forConn returns base for one connection. Tickets are sealed with the keys of the server's configuration, not of this
// one, so sessions are resumed across connections.
func (c *Clients) forConn(base *tls.Config, addr net.Addr) *tls.Config {
	config := base.Clone()
	config.ClientAuth = tls.RequestClientCert
	if c.options.Required {
		config.ClientAuth = tls.RequireAnyClientCert
	}
	c.bundles.poll()
	config.ClientCAs = c.bundle.Load().names // tells clients which of their certificates to send
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if base.VerifyConnection != nil {
			if err := base.VerifyConnection(state); err != nil {
				return err
			}
		}
		return c.admit(state.PeerCertificates, addr)
	}
	return config
}

// admit tells of a refusal, in the handshake.
func (c *Clients) admit(sent []*x509.Certificate, addr net.Addr) error {
	if len(sent) == 0 {
		return nil // crypto/tls has refused that already if it must
	}
	_, err := c.check(sent)
	if err != nil && c.options.Refused != nil {
		c.options.Refused(addr, nameOf(sent[0]), err.Error())
	}
	return refusal(sent[0], err)
}

// Identify returns who the client of a connection is; ok is false if it has no certificate. An error says why the
// certificate, though its handshake was accepted, would be refused now.
func (c *Clients) Identify(state *tls.ConnectionState) (client Client, ok bool, err error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return Client{}, false, nil
	}
	if !state.HandshakeComplete {
		return Client{}, false, errors.New("identify client: the handshake is not complete")
	}
	client, err = c.check(state.PeerCertificates)
	return client, err == nil, refusal(state.PeerCertificates[0], err)
}

// check returns who the owner of the first certificate is, or the reason to refuse it.
func (c *Clients) check(sent []*x509.Certificate) (Client, error) {
	c.bundles.poll()
	now := c.now()
	chains, err := c.bundle.Load().verify(sent, now)
	if err != nil {
		return Client{}, err
	}
	chain, err := c.unrevoked(chains, now)
	if err != nil {
		return Client{}, err
	}
	user, err := c.identity.of(sent[0])
	if err != nil {
		return Client{}, err
	}
	return Client{User: user, Source: sourceOf(chain[len(chain)-1]), Expires: firstEnd(chain)}, nil
}

// unrevoked returns the first chain that has no revoked certificate. There are several where CAs are cross-signed.
func (c *Clients) unrevoked(chains [][]*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	if c.crls == nil {
		return chains[0], nil
	}
	c.crls.poll()
	lists := *c.lists.Load()
	var first error
	for _, chain := range chains {
		err := lists.check(chain, now)
		if err == nil {
			return chain, nil
		}
		first = cmp.Or(first, err)
	}
	return nil, first
}

func sourceOf(anchor *x509.Certificate) string {
	sum := sha256.Sum256(anchor.RawSubjectPublicKeyInfo)
	return "ca:" + hex.EncodeToString(sum[:8])
}

// refusal says whose certificate err is about.
func refusal(c *x509.Certificate, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("client certificate of %q: %w", nameOf(c), err)
}
