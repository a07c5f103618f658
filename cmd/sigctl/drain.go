package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/sigctl/sigctl/pkg/admin"
)

type drainOptions struct {
	global    *globalOptions
	alternate string
	wait      time.Duration
}

func newDrain(global *globalOptions, std stdio) *cobra.Command {
	opts := &drainOptions{global: global}
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Stop accepting new allocations and wait for open ones to end",
		Long: `Let the relay that runs with --data, of serve or of turn, open nothing new, and
wait until nothing is open: then nobody notices when it is stopped. Clients over UDP
and TCP are sent to --alternate; those over TLS and DTLS are told that there is no
room, as all are without it. Whoever signs in from now on is told of the servers of
--ice-server alone, if one of them is a relay. Signaling goes on.
A relay drains until it is started again, and sends clients to the last --alternate
that it was given.`,
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error { return opts.check() },
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDrain(cmd.Context(), opts, std) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&opts.alternate, "alternate", "", "`address` of the relay that clients are sent to, e.g. 192.0.2.7:3478")
	f.DurationVar(&opts.wait, "wait", 0, "give up after that `duration` (default: never)")
	return cmd
}

func (o *drainOptions) check() error {
	var faults []error
	if _, err := o.alternateServer(); err != nil {
		faults = append(faults, badFlag("alternate", fmt.Sprintf("%q is not an address with a port", o.alternate),
			"for example 192.0.2.7:3478; clients cannot be told a name"))
	}
	if o.wait < 0 {
		faults = append(faults, badFlag("wait", fmt.Sprintf("%v is no time", o.wait), "for example 10m"))
	}
	return errors.Join(faults...)
}

// alternateServer returns the zero AddrPort if there is none.
func (o *drainOptions) alternateServer() (netip.AddrPort, error) {
	if o.alternate == "" {
		return netip.AddrPort{}, nil
	}
	at, err := netip.ParseAddrPort(o.alternate)
	if err == nil && (at.Port() == 0 || at.Addr().IsUnspecified()) {
		err = errors.New("nobody is there")
	}
	return at, err
}

func runDrain(ctx context.Context, opts *drainOptions, std stdio) error {
	alternate, err := opts.alternateServer()
	if err != nil {
		return err
	}
	waiting := ctx
	if opts.wait > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, opts.wait)
		defer cancel()
	}
	left := -1
	err = withRelay(ctx, opts.global.data, func(c *admin.Client) error {
		for {
			answer, err := adminDrain.Call(waiting, c, drainRequest{alternate})
			if err != nil || answer.Empty {
				return err
			}
			if answer.Allocations != left {
				left = answer.Allocations
				fmt.Fprintf(std.err, "Draining: %s left\n", count(left, "allocation"))
			}
		}
	})
	switch {
	case err == nil:
		_, err = fmt.Fprintln(std.out, "The relay is drained: nothing is open, nothing is opened any more.")
		return err
	case errors.Is(waiting.Err(), context.DeadlineExceeded) && ctx.Err() == nil:
		return hint(fmt.Errorf("after %v the relay is not empty", opts.wait),
			"it opens nothing new; wait on with sigctl drain, or stop it, which ends them")
	}
	return err
}

// count writes n things.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprint(n, " ", thing)
}

// adminDrain drains a relay. Its answer comes when the relay is empty, or after
// drainPoll with how it stands: whoever waits asks again.
var adminDrain = admin.Method[drainRequest, drainAnswer]{Path: "/relay/drain",
	Errors: []admin.Error{{Code: "no_relay", Status: http.StatusNotFound, Err: errNoRelay}}}

const drainPoll = time.Second

var errNoRelay = errors.New("the server runs without a relay")

type drainRequest struct {
	Alternate netip.AddrPort `json:"alternate"` // empty: as before, or none
}

type drainAnswer struct {
	Empty       bool `json:"empty"`
	Allocations int  `json:"allocations"` // that are left
}

// drain answers adminDrain.
func (r *relay) drain(ctx context.Context, m drainRequest) (drainAnswer, error) {
	if !r.drained.Swap(true) {
		r.log.Info("the relay drains: it opens nothing new", "alternate", m.Alternate)
	}
	ctx, cancel := context.WithTimeout(ctx, drainPoll)
	defer cancel()
	err := r.Drain(ctx, m.Alternate)
	if errors.Is(err, context.DeadlineExceeded) {
		return drainAnswer{Allocations: r.Stats().Allocations}, nil
	}
	return drainAnswer{Empty: err == nil}, err
}

// withRelay calls f with the program that runs with the data directory and has a
// relay: serve or else turn.
func withRelay(ctx context.Context, dataPath string, f func(*admin.Client) error) error {
	data, err := openDataDir(dataPath)
	if err != nil {
		return err
	}
	for _, socket := range []string{data.admin(), data.relayAdmin()} {
		err := withSocket(ctx, socket, f)
		if !errors.Is(err, admin.ErrNotServing) && !errors.Is(err, errNoRelay) {
			return err
		}
	}
	return hint(fmt.Errorf("no relay is running here, neither of sigctl serve (%s) nor of sigctl turn (%s)", data.admin(), data.relayAdmin()),
		"name the data directory of the one that is meant with --data DIR")
}
