package turnload

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// bench is one run.
type bench struct {
	// set at construction
	cfg     *Config
	server  *server
	process process
	epoch   time.Time     // the stamps count from here
	quiet   time.Duration // how long nothing comes before what is missing counts as lost
	shared  challenge

	wire    *wire
	peer    *socket
	clients []*client
	flows   []*flow
	current atomic.Pointer[pass]

	// owned by Run
	passes uint32
	report Report
}

const (
	// atOnce is how many clients make requests at a time.
	atOnce = 32

	// allocationLifetime is asked for in seconds, and prolonged by keep.
	allocationLifetime = 600
	keepInterval       = 2 * time.Minute // a permission lives for 5, RFC 8656 section 9

	// endPatience bounds how long the allocations are taken back at the end.
	endPatience = 10 * time.Second
)

// Run allocates, puts the load on, and takes the allocations back. When ctx ends it returns what was measured until
// then, with ctx's error; after any other error the report is nil.
func Run(ctx context.Context, cfg *Config) (*Report, error) {
	b, err := newBench(cfg)
	if err != nil {
		return nil, err
	}
	return b.runAll(ctx)
}

func newBench(cfg *Config) (*bench, error) {
	c, err := cfg.check()
	if err != nil {
		return nil, err
	}
	server, _ := parseServer(c.Server) // checked
	b := &bench{cfg: c, server: server, process: process{c.PID}, epoch: time.Now(), quiet: defaultQuiet}
	b.report = Report{
		Server: c.Server, Direction: c.Direction, Indications: c.Indications, Size: c.Size, Burst: c.Burst,
	}
	return b, nil
}

func (b *bench) runAll(ctx context.Context) (*Report, error) {
	defer b.close(ctx)
	err := b.measure(ctx)
	if ctx.Err() != nil {
		b.report.Interrupted = true
		return &b.report, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return &b.report, nil
}

func (b *bench) measure(ctx context.Context) (err error) {
	if b.report.MemoryBefore, err = b.process.memory(); err != nil {
		return err
	}
	if err := b.setUp(ctx); err != nil {
		return err
	}
	if b.report.Memory, err = b.process.memory(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	g.Go(func() error { return b.keep(ctx) })
	g.Go(func() error { defer stop(); return b.load(ctx) })
	return g.Wait()
}

// setUp makes the allocations, binds them, and starts who receives.
func (b *bench) setUp(ctx context.Context) (err error) {
	b.cfg.Progress(fmt.Sprintf("making %d allocations at %s", b.cfg.Allocations, b.cfg.Server))
	if err := b.server.resolve(ctx, b.cfg.TLS); err != nil {
		return err
	}
	if b.wire, err = newWire(b.cfg.Coalesce, b.cfg.Offload); err != nil {
		return err
	}
	if b.peer, err = b.wire.open(netip.AddrPortFrom(b.cfg.PeerAddress, 0), netip.AddrPort{}, b.receive); err != nil {
		return fmt.Errorf("listen as the peer: %w", err)
	}
	b.clients = make([]*client, b.cfg.Allocations)
	began := time.Now()
	var allocate, bind histogram
	if err := b.each(ctx, &allocate, b.allocate); err != nil {
		return err
	}
	if err := b.each(ctx, &bind, b.bind); err != nil {
		return err
	}
	b.report.SetupSeconds = time.Since(began).Seconds()
	b.report.Allocations = b.cfg.Allocations
	b.report.Allocate, b.report.Bind = allocate.percentiles(), bind.percentiles()
	return b.makeFlows()
}

// each calls do for all clients, the first of them alone: from it the others know the server's nonce.
func (b *bench) each(ctx context.Context, took *histogram, do func(context.Context, int) error) error {
	timed := func(ctx context.Context, i int) error {
		began := time.Now()
		err := do(ctx, i)
		took.add(time.Since(began))
		if err != nil {
			return fmt.Errorf("client %d: %w", i+1, err)
		}
		return nil
	}
	if err := timed(ctx, 0); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := 1; i < len(b.clients) && ctx.Err() == nil; i++ {
		g.Go(func() error { return timed(ctx, i) })
	}
	return g.Wait()
}

func (b *bench) allocate(ctx context.Context, i int) error {
	username, password := b.cfg.Credential(i)
	c := newClient(username, password, &b.shared)
	l, err := b.server.dial(ctx, b.wire, func(frame []byte) {
		if data, ok := payload(frame); ok {
			b.receive(data)
		} else {
			c.respond(frame)
		}
	})
	if err != nil {
		return fmt.Errorf("reach the server: %w", err)
	}
	c.link = l
	b.clients[i] = c
	return c.allocate(ctx, b.cfg.PeerAddress)
}

// other returns where the client sends to and is sent from.
func (b *bench) other(i int) netip.AddrPort {
	if b.cfg.Direction == Relay {
		return b.clients[i^1].relayed
	}
	return b.peer.local
}

func (b *bench) bind(ctx context.Context, i int) error {
	if b.cfg.Indications {
		return b.clients[i].permit(ctx, b.other(i))
	}
	return b.clients[i].bind(ctx, b.other(i))
}

func (b *bench) makeFlows() error {
	var up, down []*flow
	for i, c := range b.clients {
		frame, offset := channelFrame(b.cfg.Size, c.link.reliable())
		if b.cfg.Indications {
			var err error
			if frame, offset, err = sendFrame(b.cfg.Size, b.other(i)); err != nil {
				return err
			}
		}
		up = append(up, &flow{frame, offset, c.link.send})
		down = append(down, &flow{make([]byte, b.cfg.Size), 0, func(frames [][]byte) error { return b.peer.sendTo(frames, c.relayed) }})
	}
	switch b.cfg.Direction {
	case Up, Relay:
		b.flows = up
	case Down:
		b.flows = down
	case Both:
		for i := range up {
			b.flows = append(b.flows, up[i], down[i])
		}
	}
	return nil
}

// keep prolongs the allocations, their permissions and channels until ctx ends.
func (b *bench) keep(ctx context.Context) error {
	tick := time.NewTicker(keepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := b.each(ctx, new(histogram), func(ctx context.Context, i int) error {
			if err := b.clients[i].refresh(ctx, allocationLifetime); err != nil {
				return err
			}
			return b.bind(ctx, i)
		})
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("keep the allocations: %w", err)
		}
	}
}

// close takes the allocations back, also after an interrupt, and waits until nobody receives any more.
func (b *bench) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, c := range b.clients {
		if c == nil {
			continue
		}
		g.Go(func() error {
			if c.relayed.IsValid() {
				_ = c.refresh(ctx, 0) // a server that does not answer lets it expire
			}
			return c.link.close()
		})
	}
	_ = g.Wait()
	if b.wire != nil {
		b.wire.close()
	}
}
