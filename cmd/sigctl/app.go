package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/hostaddr"
	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/policy"
	"github.com/sigctl/sigctl/pkg/token"
	"github.com/sigctl/sigctl/pkg/token/oidc"
	"github.com/sigctl/sigctl/pkg/turncred"
	"github.com/sigctl/sigctl/pkg/user"
	"github.com/sigctl/sigctl/signal"
)

// app is the composition root: everything that one server consists of. newApp
// opens and binds it, serve runs it, close undoes it in reverse.
type app struct {
	// set at construction
	opts       *serveOptions
	std        stdio
	log        *slog.Logger
	budget     budget
	known      *limit.Known // addresses of those who signed in, or had an allocation
	data       dataDir
	addresses  *hostaddr.Watcher // of this machine
	tls        *serverTLS        // nil: plain text
	backing    backing
	audit      *audit.Log // nil: off
	tokens     *token.Authority
	outside    *oidc.Verifier // nil: there is no outside issuer
	rules      *policy.File   // nil: no file
	policy     func() *policy.Policy
	secrets    *turncred.Secrets
	ice        *iceIssuer
	listeners  []net.Listener // of signaling
	operations net.Listener   // nil: none
	admin      net.Listener
	signal     *signal.Server
	relay      *relay // nil: none

	kicked  kicks      // before the start
	kicking sync.Mutex // guards the file of kicks

	undo closers
}

// newApp opens and binds all parts. On a fault nothing stays open.
func newApp(ctx context.Context, opts *serveOptions, std stdio, log *slog.Logger) (_ *app, err error) {
	a := &app{opts: opts, std: std, log: log, known: limit.NewKnown(), budget: opts.budget(descriptors())}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	for _, open := range []func(context.Context) error{
		a.openData,
		a.openAdmin, // first: no other server has this data directory
		a.openAudit,
		a.openBacking,
		a.openAccess,
		a.openAddresses,
		a.openTLS,
		a.openListeners,
		a.openRelay,
		a.openSignal,
	} {
		if err := open(ctx); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// serve runs all parts until ctx ends or one of them fails.
func (a *app) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.signal.Serve(ctx, a.listeners...) })
	g.Go(func() error { return serveAdmin(ctx, a.admin, a.adminHandler()) })
	g.Go(func() error { trimMemory(ctx, a.signal.Sessions); return nil })
	if a.relay != nil {
		g.Go(func() error { return a.relay.serve(ctx) })
		g.Go(watchURLs(ctx, a.addresses, a.relayURLs, a.log))
	}
	g.Go(func() error {
		return serveOperations(ctx, a.operations, newMetrics(a.relay, a.signal.Stats), a.ready)
	})
	g.Go(func() error { return watchSecrets(ctx, "turn-secret", a.opts.relay.secret, a.secrets, a.log) })
	g.Go(func() error { return a.watchPolicy(ctx) })
	return g.Wait()
}

// close undoes what newApp did. Closing again does nothing.
func (a *app) close() error { return a.undo.close() }

// onClose registers what close does before all that was registered earlier.
func (a *app) onClose(f func() error) { a.undo.add(f) }

func (a *app) openData(context.Context) (err error) {
	if a.data, err = openDataDir(a.opts.global.data); err != nil {
		return err
	}
	if a.kicked, err = a.data.loadKicks(); err != nil {
		a.log.Warn("credentials of users who were kicked in the last minutes may still open relays", "err", err)
	}
	a.secrets, err = turnSecrets("turn-secret", a.opts.relay.secret, a.data.turnSecret())
	return err
}

func (a *app) openBacking(ctx context.Context) (err error) {
	path := a.data.users()
	if a.opts.demo {
		path = a.data.demoUsers()
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // left by a server that was killed
			return fmt.Errorf("make the demo's user store: %w", err)
		}
		a.onClose(func() error { return os.Remove(path) })
	}
	if a.backing, err = a.opts.store.openForServe(ctx, a.data, path); err != nil {
		return err
	}
	a.onClose(a.backing.users.Close)
	if a.opts.demo {
		return addDemoUsers(ctx, a.backing.users)
	}
	return nil
}

func (a *app) openAdmin(context.Context) (err error) {
	if a.admin, err = listenAdmin(a.data.admin()); err != nil {
		return err
	}
	a.onClose(a.admin.Close)
	return nil
}

func (a *app) openAddresses(context.Context) (err error) {
	if a.addresses, err = hostaddr.Open(a.log); err != nil {
		return err
	}
	a.onClose(a.addresses.Close)
	return nil
}

// openListeners opens those of signaling and of operations, which no peer of the relay
// can be.
func (a *app) openListeners(context.Context) (err error) {
	for _, address := range a.opts.listen {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return bindFault("listen", err)
		}
		a.listeners = append(a.listeners, l)
		a.onClose(l.Close)
	}
	if a.operations, err = a.opts.operations.open(a.log); a.operations != nil {
		a.onClose(a.operations.Close)
	}
	return err
}

func (a *app) openSignal(context.Context) (err error) {
	config := a.tls.config("http/1.1")
	clients, err := a.openClients()
	if err != nil {
		return err
	}
	if clients != nil {
		config = clients.Server(config)
	}
	a.ice = newICEIssuer(a.relayURLs, a.opts.iceServers, a.secrets)
	maps.Copy(a.ice.voided, a.kicked)
	proxies, err := a.opts.proxy.proxies()
	if err != nil {
		return err
	}
	cfg := &signal.Config{
		Users:        user.NewAuthenticator(a.backing.users, nil),
		Names:        a.backing.users,
		Tokens:       a.tokens,
		TokenTTL:     a.opts.access.tokenTTL,
		Policy:       a.policy,
		TLS:          config,
		Clients:      clients,
		Proxies:      proxies,
		Audit:        a.audit,
		URL:          a.webSocketURL,
		HSTS:         a.opts.cert != "",
		ICEServers:   a.ice.servers,
		AllowOrigins: a.opts.origins(),
		MaxPending:   a.budget.pending,
		MaxSessions:  a.budget.sessions,
		Known:        a.known,
		Logger:       a.log,
	}
	if a.outside != nil {
		cfg.Outside = a.outside
	}
	if a.opts.sharePort {
		cfg.Relay = a.relay.ServeConn
	}
	a.signal, err = signal.New(cfg)
	return err
}
