package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/sigctl/sigctl/peer"
	"github.com/sigctl/sigctl/pkg/certs"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/turnserver"
)

// demoTimeout bounds what takes a fraction of a second where all is well.
const demoTimeout = time.Minute

func newDemo(std stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "See it work: server, relay and two peers that chat, in a second",
		Long: `See it work: a server, a relay and two headless peers on free ports of this
machine. The peers sign in and chat, directly and then through the relay. It ends
by itself and leaves nothing behind.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), std) },
	}
}

func runDemo(ctx context.Context, std stdio) (err error) {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "sigctl-demo-*")
	if err != nil {
		return fmt.Errorf("make a directory for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	d := &demo{out: std.out, start: time.Now(), style: newStyles(lipgloss.NewRenderer(std.out))}
	d.title("sigctl demo", "a server, a relay and two peers, all on this machine")
	a, err := newApp(ctx, demoServer(filepath.Join(dir, "data")), stdio{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	serving, stop := context.WithCancel(ctx)
	g, serving := errgroup.WithContext(serving)
	g.Go(func() error { return a.serve(serving) })
	err = d.conversations(serving, a)
	stop()
	if err = errors.Join(err, g.Wait()); err != nil {
		return err
	}
	d.farewell()
	return nil
}

// demoServer is a server on free ports that only this machine reaches.
func demoServer(data string) *serveOptions {
	o := &serveOptions{global: &globalOptions{data: data}}
	o.flags(pflag.NewFlagSet("demo", pflag.ContinueOnError)) // sets the defaults
	o.demo, o.listen, o.relay.listen = true, []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	return o
}

// demo prints a transcript with the milliseconds since the start.
type demo struct {
	out   io.Writer
	start time.Time
	style styles
}

func (d *demo) conversations(ctx context.Context, a *app) error {
	pool, err := certs.Pool(a.caRoot())
	if err != nil {
		return err
	}
	d.say("server", a.signalURL()+", HTTPS and WebSocket")
	d.say("relay", a.relay.Addrs(turnserver.UDP)[0].String()+", UDP and TCP; also TLS and DTLS")
	for _, c := range []conversationPlan{
		{kind: "direct", title: "Directly", lines: []line{
			{"user2", "Hello user1! Who can read this?"},
			{"user1", "You and I: it is encrypted from end to end."},
			{"user2", "And the server?"},
			{"user1", "It only brought us together."},
		}},
		{kind: "relay", title: "Through the relay, as between two strict firewalls", relay: true, lines: []line{
			{"user2", "Can you still hear me?"},
			{"user1", "Yes. The relay carries it, and cannot read it."},
		}},
	} {
		if err := d.converse(ctx, a.signalURL(), &tls.Config{RootCAs: pool}, c); err != nil {
			return fmt.Errorf("%s conversation: %w", c.kind, err)
		}
	}
	return nil
}

// conversationPlan is one of the demo's conversations.
type conversationPlan struct {
	kind  string // the path that it must take
	title string
	relay bool
	lines []line
}

type line struct{ from, text string }

func (d *demo) converse(ctx context.Context, url string, trust *tls.Config, plan conversationPlan) error {
	fmt.Fprintln(d.out)
	fmt.Fprintln(d.out, d.style.accent.Render(plan.title))
	clients := map[string]*peer.Client{}
	for _, name := range []string{"user1", "user2"} {
		config := &peer.Config{User: name, Password: demoUsers[name], TLSConfig: trust, RelayOnly: plan.relay, Loopback: true}
		if !plan.relay {
			config.ICEServers = []protocol.ICEServer{} // no STUN: on one machine there is no NAT to see through
		}
		client, err := peer.Dial(ctx, url, config)
		if err != nil {
			return err
		}
		defer client.Close()
		clients[name] = client
		d.say(name, "signs in")
	}
	calls, err := d.connect(ctx, clients)
	if err != nil {
		return err
	}
	if err := d.checkCalls(calls, plan.kind); err != nil {
		return err
	}
	for _, l := range plan.lines {
		if err := d.speak(ctx, calls, l); err != nil {
			return err
		}
	}
	for _, call := range calls {
		if err := call.Flush(ctx); err != nil {
			return err
		}
	}
	d.good("each has all that the other said")
	return calls["user2"].Hangup(ctx, "")
}

// connect makes user2 call user1.
func (d *demo) connect(ctx context.Context, clients map[string]*peer.Client) (map[string]*peer.Call, error) {
	d.say("user2", "calls user1")
	var callee, caller *peer.Call
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { callee, err = clients["user1"].Accept(ctx); return err })
	g.Go(func() (err error) { caller, err = clients["user2"].Call(ctx, "user1"); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return map[string]*peer.Call{"user1": callee, "user2": caller}, nil
}

// checkCalls shows how the two ends are connected, and fails if that is not as it
// should be.
func (d *demo) checkCalls(calls map[string]*peer.Call, kind string) error {
	caller := calls["user2"]
	path := caller.Path()
	d.good("connected " + steps(caller.Timeline()))
	d.good("path " + path.Kind() + ": " + pair(path))
	if path.Kind() != kind {
		return fmt.Errorf("the path is %s, not %s", path.Kind(), kind)
	}
	if ours, theirs := caller.SafetyCode(), calls["user1"].SafetyCode(); ours != theirs {
		return fmt.Errorf("the safety codes differ: %s and %s", ours, theirs)
	}
	d.good("both see safety code " + caller.SafetyCode())
	return nil
}

// pair writes which candidates carry a call, with their addresses where these
// leave the line readable.
func pair(p peer.Path) string {
	const room = 48
	text := p.Local.Type + " " + p.Local.Address + " to " + p.Remote.Type + " " + p.Remote.Address
	if len(text) > room {
		return p.Local.Type + " to " + p.Remote.Type
	}
	return text
}

// steps writes a caller's timeline, in milliseconds after its offer.
func steps(timeline []peer.Step) string {
	short := map[string]string{"answer received": "answer", "ICE connected": "ICE", "DTLS connected": "DTLS"}
	var parts []string
	var last time.Duration
	for _, s := range timeline {
		if name := short[s.Name]; name != "" {
			parts = append(parts, fmt.Sprintf("%s %.1f", name, milliseconds(s.At)))
		}
		last = s.At
	}
	return fmt.Sprintf("in %.1f ms (%s)", milliseconds(last), strings.Join(parts, ", "))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// speak sends l and shows it when the other side has got it.
func (d *demo) speak(ctx context.Context, calls map[string]*peer.Call, l line) error {
	to := "user1"
	if l.from == to {
		to = "user2"
	}
	if err := calls[l.from].Send(ctx, l.text); err != nil {
		return err
	}
	got, err := calls[to].Recv(ctx)
	if err != nil {
		return err
	}
	if got != l.text {
		return fmt.Errorf("%s said %q, and %s got %q", l.from, l.text, to, got)
	}
	d.say(l.from, d.style.bright.Render("“"+printable(got)+"”"))
	return nil
}

// say prints a line with the time since the start.
func (d *demo) say(who, what string) {
	name := d.style.you
	if who == "user2" {
		name = d.style.me
	}
	at := d.style.dim.Render(fmt.Sprintf("%6.0f ms", milliseconds(time.Since(d.start))))
	fmt.Fprintf(d.out, "%s  %s %s\n", at, name.Render(fmt.Sprintf("%-6s", who)), what)
}

// good says that something is as it should be.
func (d *demo) good(what string) { d.say("", d.style.good.Render("✓")+" "+what) }

func (d *demo) title(name, text string) {
	fmt.Fprintf(d.out, "%s  %s\n\n", d.style.title.Render(" "+name+" "), text)
}

func (d *demo) farewell() {
	fmt.Fprintf(d.out, `
Two conversations in %.1f s. Now do it yourself, in three terminals:

  sigctl serve --demo
  SIGCTL_PASSWORD=password1 sigctl chat --user user1
  SIGCTL_PASSWORD=password2 sigctl chat --user user2 --call user1
`, time.Since(d.start).Seconds())
}
