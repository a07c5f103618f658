package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sigctl/sigctl/cmd/internal/turnload"
	"github.com/sigctl/sigctl/pkg/turncred"
)

type benchTURNOptions struct {
	global *globalOptions

	server       string
	secret, user string
	ca           string
	insecure     bool

	allocations            int
	direction              string
	channels, indications  bool
	size, burst            int
	rate                   string
	coalesce               time.Duration
	offload                bool
	idle, warmup, duration time.Duration
	peerAddress            string
	pid                    int
	json                   bool
}

func newBenchTURN(global *globalOptions, std stdio) *cobra.Command {
	opts := &benchTURNOptions{global: global}
	cmd := &cobra.Command{
		Use:   "turn",
		Short: "Load on a TURN server: loss, latency, the loss-free rate, its CPU per packet",
		Long: `Put load on a TURN server, ours or another, and measure loss and latency, the
highest rate without loss, and what a server process on this machine uses for it.

  sigctl turn --listen 127.0.0.1:3478 --allow-peer 127.0.0.0/8 \
    --user bench:bench &
  sigctl bench turn --server turn:127.0.0.1:3478 --user bench:bench --pid $!

The packets go to or come from a socket of this program at --peer-address, which
the server must be allowed to reach; with --direction relay they go from client to
client, through two relayed addresses of the server. A user may have quotas, of allocations
and of bytes per second: with --secret every client is a user of its own.`,
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error { return opts.check() },
		RunE:    func(cmd *cobra.Command, _ []string) error { return runBenchTURN(cmd.Context(), opts, std) },
	}
	opts.flags(cmd.Flags())
	return cmd
}

func (o *benchTURNOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.server, "server", "", "`URL` of the server: turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT]")
	f.StringVar(&o.secret, "secret", "", "`SRC` of the secret that the server shares with who issues credentials: file:PATH or env:NAME")
	f.StringVar(&o.user, "user", "", "`name:password` of a static user, in place of a secret")
	f.StringVar(&o.ca, "ca", "", "PEM `file` of the CA to trust with turns:, and no other")
	f.BoolVar(&o.insecure, "insecure", false, "trust any server with turns:")
	f.IntVar(&o.allocations, "allocations", turnload.DefaultAllocations, "`number` of clients, each with a socket and an allocation")
	f.StringVar(&o.direction, "direction", string(turnload.Up), "up (from clients to the peer), down, both, or relay (client to client)")
	f.BoolVar(&o.channels, "channels", true, "send data in channels")
	f.BoolVar(&o.indications, "indications", false, "send data in Send indications, in place of channels")
	f.IntVar(&o.size, "size", turnload.DefaultSize, "`bytes` of payload in a packet")
	f.StringVar(&o.rate, "rate", strconv.Itoa(turnload.DefaultRate), "`packets` per second, of all clients together; max: look for the highest rate without loss")
	f.IntVar(&o.burst, "burst", 1, "`packets` that a client sends at once")
	f.DurationVar(&o.coalesce, "coalesce", 0, "let UDP packets wait so long for others before they are read together: less work here, more latency (Linux)")
	f.BoolVar(&o.offload, "offload", false, "exchange bursts with the kernel in one piece, as between good network cards: less work here, and for a server that can (Linux)")
	f.DurationVar(&o.idle, "idle", 0, "hold the allocations for so long without load at first; with --pid, see what that costs")
	f.DurationVar(&o.warmup, "warmup", time.Second, "load before the measuring begins")
	f.DurationVar(&o.duration, "duration", turnload.DefaultDuration, "how long to measure; 0: no load")
	f.StringVar(&o.peerAddress, "peer-address", "127.0.0.1", "`address` of this machine to send to and from; the server must be allowed to reach it")
	f.IntVar(&o.pid, "pid", 0, "the server's `process` on this machine, to measure its CPU and memory (Linux)")
	f.BoolVar(&o.json, "json", false, "one JSON object")
	markSecret(f, "user", secretPair)
	markSecret(f, "secret", secretSource)
}

// check returns all faults of the values, without opening anything.
func (o *benchTURNOptions) check() error {
	var faults []error
	add := func(wrong bool, flag, problem string, hints ...string) {
		if wrong {
			faults = append(faults, badFlag(flag, problem, hints...))
		}
	}
	within := func(flag string, n, low, high int) {
		add(n < low || n > high, flag, fmt.Sprintf("%d is not within %d to %d", n, low, high))
	}
	add(o.server == "", "server", "is needed", "for example: --server turn:127.0.0.1:3478")
	if o.server != "" {
		err := turnload.CheckServer(o.server)
		add(err != nil, "server", fmt.Sprintf("%q: %v", o.server, err), "for example turn:127.0.0.1:3478?transport=tcp, or turns:turn.example.com")
	}
	name, password, _ := strings.Cut(o.user, ":")
	add((o.secret == "") == (o.user == ""), "secret", "give either --secret or --user", "what the server was started with")
	add(o.user != "" && (name == "" || password == ""), "user", "not name:password") // not shown: it may be a password
	if o.secret != "" {
		_, err := turnSecrets("secret", o.secret, "")
		faults = append(faults, err)
	}
	add(o.ca != "" && o.insecure, "insecure", "does not go with --ca", "leave one of them out")
	within("allocations", o.allocations, 1, turnload.MaxAllocations)
	within("size", o.size, turnload.MinSize, turnload.MaxSize)
	within("burst", o.burst, 1, turnload.MaxBurst)
	add(!isDirection(o.direction), "direction", fmt.Sprintf("%q is none", o.direction), "up, down, both or relay")
	add(o.direction == string(turnload.Relay) && o.allocations%2 != 0, "allocations", "client to client needs an even number")
	add(!o.channels && !o.indications, "channels", "data needs a way", "--indications is the other")
	_, _, err := o.packets()
	add(err != nil, "rate", fmt.Sprintf("%q is no rate", o.rate), fmt.Sprintf("packets per second, up to %d, or max", turnload.MaxRate))
	add(o.coalesce < 0 || o.idle < 0 || o.warmup < 0 || o.duration < 0, "duration", "a time cannot be negative")
	add(o.duration > turnload.MaxDuration, "duration", fmt.Sprintf("%s is too long", o.duration), "up to "+turnload.MaxDuration.String())
	_, err = netip.ParseAddr(o.peerAddress)
	add(err != nil, "peer-address", fmt.Sprintf("%q is not an address", o.peerAddress), "an address of this machine, without a port")
	if o.pid != 0 {
		err := turnload.CheckPID(o.pid)
		add(err != nil, "pid", fmt.Sprint(err), "the process must be on this machine: pidof turnserver")
	}
	return errors.Join(faults...)
}

func isDirection(text string) bool {
	switch turnload.Direction(text) {
	case turnload.Up, turnload.Down, turnload.Both, turnload.Relay:
		return true
	}
	return false
}

// startRate is where a search begins.
const startRate = 20_000

// packets reads --rate.
func (o *benchTURNOptions) packets() (rate float64, search bool, err error) {
	if o.rate == "max" || o.rate == "0" {
		return startRate, true, nil
	}
	rate, err = strconv.ParseFloat(o.rate, 64)
	if err == nil && !(rate > 0 && rate <= turnload.MaxRate) {
		err = errors.New("out of range")
	}
	return rate, false, err
}

// threads are enough for one that sleeps in the kernel between packets, one that waits for packets, and those that
// handle them, also where all share one core.
const threads = 4

func runBenchTURN(ctx context.Context, opts *benchTURNOptions, std stdio) error {
	if n := runtime.GOMAXPROCS(0); n < threads {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
	}
	config, err := opts.load(std)
	if err != nil {
		return err
	}
	report, err := turnload.Run(ctx, config)
	if report != nil { // as far as it came
		if printErr := opts.print(std, report); err == nil {
			err = printErr
		}
	}
	return opts.fault(err)
}

// load is what turnload is to do.
func (o *benchTURNOptions) load(std stdio) (*turnload.Config, error) {
	rate, search, _ := o.packets()            // checked
	peer, _ := netip.ParseAddr(o.peerAddress) // checked
	trust, err := o.trust()
	if err != nil {
		return nil, err
	}
	credential, err := o.credential()
	if err != nil {
		return nil, err
	}
	duration := o.duration
	if duration == 0 {
		duration = -1
	}
	return &turnload.Config{
		Server: o.server, Credential: credential, TLS: trust,
		Allocations: o.allocations, Direction: turnload.Direction(o.direction), Indications: o.indications,
		Size: o.size, Rate: rate, Search: search, Burst: o.burst, Coalesce: o.coalesce, Offload: o.offload,
		Idle: o.idle, Warmup: o.warmup, Duration: duration,
		PeerAddress: peer, PID: o.pid,
		Progress: func(text string) { fmt.Fprintln(std.err, text) },
	}, nil
}

// trust returns what a turns: server must prove.
func (o *benchTURNOptions) trust() (*tls.Config, error) {
	if !strings.HasPrefix(o.server, "turns:") {
		return nil, nil
	}
	return (&chatOptions{global: o.global, ca: o.ca, insecure: o.insecure}).trust()
}

// credential returns who the clients are: with a secret, each a user of its own.
func (o *benchTURNOptions) credential() (func(int) (string, string), error) {
	if o.secret == "" {
		name, password, _ := strings.Cut(o.user, ":")
		return func(int) (string, string) { return name, password }, nil
	}
	secrets, err := turnSecrets("secret", o.secret, "")
	if err != nil {
		return nil, err
	}
	return func(i int) (string, string) { return benchCredential(secrets, i) }, nil
}

// benchTTL is longer than what a run takes.
const benchTTL = 24 * time.Hour

func benchCredential(secrets *turncred.Secrets, i int) (username, password string) {
	c := secrets.Issue("bench"+strconv.Itoa(i+1), benchTTL, time.Now())
	return c.Username, c.Password
}

// fault explains why nothing could be measured.
func (o *benchTURNOptions) fault(err error) error {
	fail := func(code int, hints ...string) error { return &fault{err: err, code: code, hints: hints} }
	var refused *turnload.ResponseError
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &refused):
		switch refused.Code {
		case 401, 441:
			return fail(exitAuth, "--secret or --user must be what the server was started with")
		case 403:
			return fail(exitRefused, "the server must be allowed to reach "+o.peerAddress+
				": sigctl turn --allow-peer "+o.peerAddress+"; coturn --allow-loopback-peers", "--direction relay needs no peer")
		case 486, 508:
			return fail(exitRefused, "the server allows no more allocations: raise its quotas, or ask for fewer --allocations",
				"with --secret every client is a user of its own")
		}
		return fail(exitRefused)
	case errors.Is(err, turnload.ErrTimeout):
		return fail(exitNoConnection, "is a TURN server listening at "+o.server+"?")
	}
	return err
}

func (o *benchTURNOptions) print(std stdio, r *turnload.Report) error {
	if o.json {
		return json.NewEncoder(std.out).Encode(r)
	}
	t := newTable(std, false, "MEASURED", "VALUE")
	t.row(nil, "allocations", fmt.Sprintf("%d in %.2f s", r.Allocations, r.SetupSeconds))
	t.row(nil, "  allocate, p50 p90 p99 max", percentiles(r.Allocate))
	t.row(nil, "  bind, p50 p90 p99 max", percentiles(r.Bind))
	if o.pid != 0 {
		t.row(nil, "server's memory, before and with them", fmt.Sprintf("%.1f MB, %.1f MB", float64(r.MemoryBefore)/1e6, float64(r.Memory)/1e6))
	}
	if o.pid != 0 && o.idle > 0 {
		t.row(nil, "server's CPU, idle", fmt.Sprintf("%.2f %% of a core", r.IdleCPUPercent))
	}
	if r.Sent > 0 {
		o.printLoad(t, r)
	}
	return t.end()
}

func (o *benchTURNOptions) printLoad(t *table, r *turnload.Report) {
	t.row(nil, "packets sent, received", fmt.Sprintf("%d, %d", r.Sent, r.Received))
	t.row(nil, "packets lost", fmt.Sprintf("%.3f %%", r.LostPercent))
	if r.Overruns > 0 {
		t.row(nil, "packets not read here in time", fmt.Sprint(r.Overruns))
	}
	if r.SendError != "" {
		t.row(nil, "  a send failed", oneLine(r.SendError))
	}
	t.row(nil, "rate", fmt.Sprintf("%.0f packets/s, %.1f Mbit/s of payload", r.Rate, r.Rate*float64(8*r.Size)/1e6))
	switch r.LimitedBy {
	case turnload.LimitLoss:
		t.row(nil, "  above", "packets are lost")
	case turnload.LimitLoad:
		t.row(nil, "  above", "this machine cannot send: the server may carry more")
	}
	t.row(nil, "latency, p50 p90 p99 max", percentiles(r.Latency))
	if o.pid != 0 {
		t.row(nil, "server's CPU per relayed packet", fmt.Sprintf("%.2f µs", r.CPUPerPacket))
	}
}

func percentiles(p turnload.Percentiles) string {
	return fmt.Sprintf("%.3f  %.3f  %.3f  %.3f ms", p.P50/1e3, p.P90/1e3, p.P99/1e3, p.Max/1e3)
}
