package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/sigctl/sigctl/pkg/certs"
)

type certOptions struct {
	global *globalOptions
	out    string
}

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
		Args:  cobra.ExactArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return runCertClient(opts, args[0], std) },
	}
	for _, cmd := range []*cobra.Command{ca, server, client} {
		cmd.Flags().StringVar(&opts.out, "out", "", "new `file` for the result, mode 0600 (default: the output)")
	}
	return group(&cobra.Command{
		Use:   "cert",
		Short: "The development CA, and certificates of it",
		Long: `The development CA in --data, made at its first use, and certificates of it, as
PEM: certificate, chain and key in one file, good for --cert and --key of serve.`,
	}, ca, server, client)
}

func runCertCA(opts *certOptions, std stdio) error {
	ca, err := openCA(opts)
	if err != nil {
		return err
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
	issued, err := ca.Client(name)
	if err != nil {
		return usage(err)
	}
	return writePEM(opts.out, std, issued.Chain, issued.Key)
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
