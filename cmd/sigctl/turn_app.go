package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sigctl/sigctl/pkg/hostaddr"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/turncred"
	"github.com/sigctl/sigctl/turnserver"
)

// pasteTTL is how long the entry that `sigctl turn` prints is good.
const pasteTTL = 24 * time.Hour

// turnApp is all that the lone relay consists of. newTURNApp opens it, serve runs it,
// close undoes it in reverse.
type turnApp struct {
	opts       *turnOptions
	log        *slog.Logger
	secrets    *turncred.Secrets
	addresses  *hostaddr.Watcher // of this machine
	tls        *serverTLS        // nil: none
	admin      net.Listener
	operations net.Listener // nil: none
	relay      *relay

	undo closers
}

func newTURNApp(opts *turnOptions, log *slog.Logger) (_ *turnApp, err error) {
	t := &turnApp{opts: opts, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	data, err := openDataDir(opts.global.data)
	if err != nil {
		return nil, err
	}
	if t.secrets, err = turnSecrets("secret", opts.relay.secret, data.turnSecret()); err != nil {
		return nil, err
	}
	if t.tls, err = loadTLS(opts.cert, opts.key, log); err != nil {
		return nil, err
	}
	if t.addresses, err = hostaddr.Open(log); err != nil {
		return nil, err
	}
	t.undo.add(t.addresses.Close)
	if t.admin, err = listenAdmin(data.relayAdmin()); err != nil {
		return nil, err
	}
	t.undo.add(t.admin.Close)
	if t.operations, err = opts.operations.open(log); err != nil {
		return nil, err
	}
	if t.operations != nil {
		t.undo.add(t.operations.Close)
	}
	if err := t.openRelay(); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *turnApp) openRelay() error {
	trusted, err := parsePrefixes("trusted-proxy", t.opts.trustedProxies)
	if err != nil {
		return err
	}
	b := turnBudget(descriptors(), t.opts.relay.maxAllocations)
	t.relay, err = listenRelay(&t.opts.relay, &turnserver.Config{
		TLS:       t.tls.config(),
		Addresses: t.addresses,
		Realm:     t.opts.realm,
		Secrets:   t.secrets,
		Users:     t.opts.static(),
		Reserved:  addrPorts(t.operations),
		Logger:    t.log,

		MaxPending: b.turnPending, MaxAllocations: b.allocations,
	}, trusted)
	if err != nil {
		return err
	}
	t.undo.add(t.relay.Close)
	b.report(t.log, &t.opts.relay)
	return nil
}

// serve runs all parts until ctx ends or one of them fails.
func (t *turnApp) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	mux := newAdminMux()
	adminDrain.Handle(mux, t.relay.drain)
	g.Go(func() error { return t.relay.serve(ctx) })
	g.Go(func() error { return serveAdmin(ctx, t.admin, mux) })
	g.Go(func() error { return serveOperations(ctx, t.operations, newMetrics(t.relay, nil), t.ready) })
	g.Go(watchURLs(ctx, t.addresses, t.urls, t.log))
	g.Go(func() error { return watchSecrets(ctx, "secret", t.opts.relay.secret, t.secrets, t.log) })
	return g.Wait()
}

// urls are those of the relay as they are now.
func (t *turnApp) urls() []string {
	return t.relay.URLs(t.tls.publicHost(t.opts.publicHost, &t.opts.relay, t.addresses))
}

// ready returns an error if other machines cannot reach this one, or the relay does not relay.
func (t *turnApp) ready(ctx context.Context) error {
	return errors.Join(reachable(t.addresses.Current(), t.opts.relay.listen...), t.relay.Check(ctx))
}

func (t *turnApp) close() error { return t.undo.close() }

// announce prints where the relay is, and an ICE server entry as the result.
func (t *turnApp) announce(std stdio) error {
	fmt.Fprintln(std.err, "sigctl is relaying.")
	t.relay.announce(std.err)
	announceOperations(std.err, t.operations)
	entry := protocol.ICEServer{URLs: t.urls()}
	if len(t.opts.users) > 0 {
		entry.Username, entry.Credential, _ = strings.Cut(t.opts.users[0], ":")
		fmt.Fprintln(std.err, "An ICE server entry:")
	} else {
		c := t.secrets.Issue("paste", pasteTTL, time.Now())
		entry.Username, entry.Credential = c.Username, c.Password
		fmt.Fprintf(std.err, "An ICE server entry, good until %s:\n", c.Expires.UTC().Format(time.RFC3339))
	}
	return writeEntry(std.out, entry)
}

func writeEntry(w io.Writer, entry protocol.ICEServer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(entry)
}
