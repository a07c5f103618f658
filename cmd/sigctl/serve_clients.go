package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/spf13/pflag"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/certs"
	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/listen"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// clientOptions say which client certificates are taken, and whom they name.
type clientOptions struct {
	ca, auth, identity, crl string
}

func (o *clientOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.ca, "client-ca", "", "PEM `file` of the CAs whose client certificates sign in without a password")
	f.StringVar(&o.auth, "client-auth", "optional", "with --client-ca: optional, or required for every connection")
	f.StringVar(&o.identity, "client-identity", "email", "which part of a certificate names the user: email, cn, or uri-regexp=`EXPR`")
	f.StringVar(&o.crl, "client-crl", "", "PEM `file` of the CAs' revocation lists")
}

func (o *clientOptions) check(tls string) error {
	var faults []error
	if o.auth != "optional" && o.auth != "required" {
		faults = append(faults, badFlag("client-auth", fmt.Sprintf("%q is neither optional nor required", o.auth)))
	}
	if o.ca == "" {
		if o.auth == "required" || o.crl != "" {
			faults = append(faults, badFlag("client-ca", "is needed with --client-auth required and --client-crl", "sigctl cert ca prints that of the development CA"))
		}
		return errors.Join(faults...)
	}
	if tls == "off" {
		faults = append(faults, badFlag("client-ca", "does not go with --tls off",
			"certificates are part of TLS: let a proxy pass TLS through, with --proxy-protocol"))
	}
	if _, err := certs.OpenClients(o.options()); err != nil {
		faults = append(faults, usage(err, clientHint))
	}
	return errors.Join(faults...)
}

const clientHint = "--client-ca, --client-crl and --client-identity say which client certificates are taken"

func (o *clientOptions) options() *certs.ClientOptions {
	return &certs.ClientOptions{CA: o.ca, CRL: o.crl, Required: o.auth == "required", Identity: o.identity}
}

// openClients returns nil if no certificates are taken.
func (a *app) openClients() (*certs.Clients, error) {
	if a.opts.clients.ca == "" {
		return nil, nil
	}
	o := a.opts.clients.options()
	o.Logger = a.log
	refusals := limit.NewBuckets[netip.Prefix](limit.Rate{PerSecond: 1, Burst: 20}, 1<<16)
	o.Refused = func(addr net.Addr, subject, reason string) {
		e := audit.Event{
			Kind: audit.Login, Code: protocol.CodeBadCredentials, Source: "certificate",
			Address: listen.HostAddr(addr), Why: "certificate of " + subject + ": " + reason,
		}
		if refusals.Take(limit.Group(e.Address), 1) == 0 { // anybody can show a certificate, whosever it is
			a.log.Info("client certificate refused", "addr", addr, "subject", subject, "why", reason)
		}
		a.record(e)
	}
	clients, err := certs.OpenClients(o)
	if err != nil {
		return nil, usage(err, clientHint)
	}
	return clients, nil
}
