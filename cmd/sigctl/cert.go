package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sigctl/sigctl/pkg/certs"
)

type certOptions struct {
	global *globalOptions
	out    string
	bundle bool
	emails []string
	uris   []string
	renew  bool
}

const certHelp = `The development CA in --data, made at its first use, and certificates of it, as
PEM: certificate, chain and key in one file.

A server's certificate:
  sigctl cert server sigctl.example.com --out server.pem
  sigctl serve --cert server.pem --key server.pem

Users who sign in by certificate, without a password:
  sigctl cert ca --bundle --out clients.pem
  sigctl cert crl                       writes the revocation list ca/crl.pem
  sigctl serve --client-ca clients.pem --client-crl DATA/ca/crl.pem
  sigctl cert client user1@example.com --out user1.pem
  sigctl chat --user user1@example.com --cert user1.pem --key user1.pem
  sigctl cert revoke user1.pem          from now on it is refused

The server takes the user's name from the e-mail address in the certificate. For
names that are none, the common name will do:
  sigctl cert client user1 --out user1.pem
  sigctl serve --client-ca clients.pem --client-identity cn`

func newCert(global *globalOptions, std stdio) *cobra.Command {
	opts := &certOptions{global: global}
	ca := &cobra.Command{
		Use:   "ca",
		Short: "Print the development CA's root certificate: what clients trust",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return runCertCA(opts, std) },
	}
	server := &cobra.Command{
		Use:   "server HOST...",
		Short: "Issue a server certificate for host names and addresses",
		Args:  cobra.MinimumNArgs(1),
		RunE:  func(_ *cobra.Command, hosts []string) error { return runCertServer(opts, hosts, std) },
	}
	client := &cobra.Command{
		Use:   "client NAME",
		Short: "Issue a client certificate for a user",
		Long: `Issue a client certificate. NAME becomes its common name, and if it is an e-mail
address, that too. --client-identity of serve decides which part of it is the user's name:

  email (the default)    the e-mail address; serve refuses one with several
  cn                     the common name: always NAME
  uri-regexp=EXPRESSION  the first group, where EXPRESSION matches a whole URI

  sigctl cert client user1 --uri spiffe://example.com/user1
  sigctl serve --client-identity 'uri-regexp=spiffe://example\.com/(.+)' ...`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return runCertClient(opts, args[0], std) },
	}
	revoke := &cobra.Command{
		Use:   "revoke FILE...",
		Short: "Revoke certificates of the development CA, and print the list's path",
		Long: `Revoke the certificates in files that sigctl cert wrote: they are added to the
revocation list ca/crl.pem in --data, which is good for 30 days from then. A
server that was given it follows it, and refuses them at once; sessions that they
have opened before go on (sigctl session kick ends them).`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error { return runCertRevoke(opts, files, std) },
	}
	crl := &cobra.Command{
		Use:   "crl",
		Short: "Print the development CA's revocation list",
		Long: `Print the revocation list ca/crl.pem in --data. It is good for 30 days, and made
anew when half of them are over: a server that was given it refuses all client
certificates once it has expired, so run this every week or so.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runCertCRL(opts, std) },
	}
	for _, cmd := range []*cobra.Command{ca, server, client} {
		cmd.Flags().StringVar(&opts.out, "out", "", "new `file` for the result, mode 0600 (default: the output)")
	}
	ca.Flags().BoolVar(&opts.bundle, "bundle", false, "the CA below the root too: good for --client-ca of serve")
	client.Flags().StringArrayVar(&opts.emails, "email", nil, "a further e-mail `address`; may be repeated")
	client.Flags().StringArrayVar(&opts.uris, "uri", nil, "a `URI`; may be repeated")
	crl.Flags().BoolVar(&opts.renew, "renew", false, "make it anew, whatever its age")
	return group(&cobra.Command{
		Use:   "cert",
		Short: "Issue and revoke certificates of the development CA",
		Long:  certHelp,
	}, ca, server, client, revoke, crl)
}

func runCertCA(opts *certOptions, std stdio) error {
	ca, err := openCA(opts)
	if err != nil {
		return err
	}
	if opts.bundle {
		return writePEM(opts.out, std, ca.BundlePEM())
	}
	return writePEM(opts.out, std, ca.RootPEM())
}

func runCertServer(opts *certOptions, hosts []string, std stdio) error {
	ca, err := openCA(opts)
	if err != nil {
		return err
	}
	issued, err := ca.Server(hosts...)
	if err != nil {
		return usage(err)
	}
	return writePEM(opts.out, std, issued.Chain, issued.Key)
}

func runCertClient(opts *certOptions, name string, std stdio) error {
	ca, err := openCA(opts)
	if err != nil {
		return err
	}
	issued, err := ca.Client(name, slices.Concat(opts.emails, opts.uris)...)
	if err != nil {
		return usage(err)
	}
	if err := writePEM(opts.out, std, issued.Chain, issued.Key); err != nil {
		return err
	}
	if !strings.Contains(name, "@") {
		fmt.Fprintf(std.err, "Its common name is %s: sigctl serve --client-identity cn takes that for the user's.\n", name)
	}
	return nil
}

func runCertRevoke(opts *certOptions, files []string, std stdio) error {
	ca, err := openCA(opts)
	if err != nil {
		return err
	}
	list, err := ca.Revoke(files...)
	if err != nil {
		return usage(err, "name files that sigctl cert server or sigctl cert client wrote, with the same --data")
	}
	describeCRL(std, ca, list)
	_, err = fmt.Fprintln(std.out, ca.CRLPath())
	return err
}

func runCertCRL(opts *certOptions, std stdio) error {
	ca, err := openCA(opts)
	if err != nil {
		return err
	}
	list, err := ca.CRL(opts.renew)
	if err != nil {
		return err
	}
	describeCRL(std, ca, list)
	return writePEM("", std, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list.Raw}))
}

// describeCRL says what the list holds, and what to do with it.
func describeCRL(std stdio, ca *certs.CA, list *x509.RevocationList) {
	fmt.Fprintf(std.err, "List number %s, certificates revoked: %d, good until %s.\n",
		list.Number, len(list.RevokedCertificateEntries), list.NextUpdate.Format(time.DateOnly))
	fmt.Fprintf(std.err, "The server follows it: sigctl serve --client-ca FILE --client-crl %s\n", ca.CRLPath())
}

func openCA(opts *certOptions) (*certs.CA, error) {
	data, err := openDataDir(opts.global.data)
	if err != nil {
		return nil, err
	}
	ca, err := certs.OpenCA(string(data))
	if err != nil {
		return nil, usage(fmt.Errorf("development CA: %w", err))
	}
	return ca, nil
}

// writePEM writes blocks to the file out, which must not be there, or to the output.
func writePEM(out string, std stdio, blocks ...[]byte) (err error) {
	var w io.Writer = std.out
	if out != "" {
		f, openErr := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(openErr, fs.ErrExist) {
			return usage(fmt.Errorf("%s is there already", out), "remove it first, or choose another name")
		}
		if openErr != nil {
			return usage(openErr)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		w = f
	}
	for _, b := range blocks {
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("write certificate: %w", err)
		}
	}
	return nil
}
