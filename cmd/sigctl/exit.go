package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/sigctl/sigctl/peer"
)

// The exit codes, as the help of sigctl lists them.
const (
	exitDone         = 0
	exitFailed       = 1
	exitUsage        = 2
	exitAuth         = 3
	exitRefused      = 4
	exitNoConnection = 5
	exitInterrupted  = 130
)

const exitHelp = `Exit codes:
  0    done
  1    failed
  2    wrong usage or configuration
  3    could not sign in
  4    the other side was not there, or refused
  5    no connection could be made
  130  interrupted (serve and turn: 0, that is how they end)`

// fault is an error for the person at the terminal: hints say what to type.
type fault struct {
	err   error
	code  int
	hints []string
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// hint adds what to type to err.
func hint(err error, hints ...string) error {
	return &fault{err: err, code: exitCode(err), hints: hints}
}

// usage makes err one of wrong usage or configuration.
func usage(err error, hints ...string) error {
	return &fault{err: err, code: exitUsage, hints: hints}
}

// badFlag says that the value of a flag is wrong, however it was given.
func badFlag(flag, problem string, hints ...string) error {
	return usage(fmt.Errorf("--%s: %s", flag, problem), hints...)
}

// exitCode is the one place that maps an error to an exit code.
func exitCode(err error) int {
	var f *fault
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &f):
		return f.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, peer.ErrAuth):
		return exitAuth
	case errors.Is(err, peer.ErrOffline), errors.Is(err, peer.ErrBusy), errors.Is(err, peer.ErrRejected):
		return exitRefused
	case errors.Is(err, peer.ErrTimeout):
		return exitNoConnection
	}
	return exitFailed
}

// report writes err as `sigctl: …` and its hints; each of joined errors by itself.
func report(w io.Writer, err error) {
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(w, "sigctl: interrupted")
		return
	}
	for _, e := range split(err) {
		fmt.Fprintln(w, "sigctl: "+oneLine(e.Error()))
		var f *fault
		if errors.As(e, &f) {
			for _, h := range f.hints {
				fmt.Fprintln(w, "hint: "+h)
			}
		}
	}
}

// split takes joined errors apart.
func split(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) == 0 || !isJoin(err, joined.Unwrap()) {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, split(e)...)
	}
	return all
}

// isJoin tells errors.Join from an fmt.Errorf with several %w.
func isJoin(err error, parts []error) bool {
	texts := make([]string, len(parts))
	for i, e := range parts {
		texts[i] = e.Error()
	}
	return err.Error() == strings.Join(texts, "\n")
}

// oneLine makes an error's text safe for a terminal: parts of it may come from
// the other side.
func oneLine(s string) string {
	return printable(strings.ReplaceAll(s, "\n", "; "))
}

// bindFault explains why the address of flag cannot be listened on.
func bindFault(flag string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return usage(err, "another program listens there: stop it, or choose another address with --"+flag)
	case errors.Is(err, syscall.EACCES):
		return usage(err, "ports below 1024 are for root: choose another with --"+flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return usage(err, "this machine does not have that address: choose another with --"+flag)
	}
	return usage(err, "--"+flag+" should be an address of this machine, with a port")
}
