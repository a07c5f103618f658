package turnserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sigctl/sigctl/pkg/hostaddr"
)

var errServing = errors.New("it is served already")

// Server is a relay. Its sockets are open from Listen to Close; it answers during Serve.
type Server struct {
	// set at construction
	*settings
	auth         *auth
	allocations  *allocations
	reservations reservations
	control      *control
	guard        *guard
	requests     *requests // of UDP clients
	listeners    []*listener
	shared       *listener         // for connections that others accept, see ServeConn
	watcher      *hostaddr.Watcher // nil: Config.Addresses is given

	policy  atomic.Pointer[policy]
	created atomic.Uint64 // allocations since the start
	lives   atomic.Uint64 // the last allocation.life
	conns   atomic.Uint64 // the last fiveTuple.conn

	running sync.WaitGroup // listeners' and allocations' goroutines
	failed  chan error     // a listener's error, the first one counts
	closing chan struct{}
	once    sync.Once // of Close

	// guarded by mu
	mu      sync.Mutex
	serving bool
	closed  bool
	gone    map[netip.Addr]time.Time // addresses that this machine no longer has, and since when
}

// Listen checks the configuration and opens all sockets, or none. Its error names all faults.
func Listen(cfg *Config) (*Server, error) { return listenAt(cfg, time.Now) }

func listenAt(cfg *Config, now func() time.Time) (_ *Server, err error) {
	settings, err := cfg.check()
	if err != nil {
		return nil, fmt.Errorf("configure relay: %w", err)
	}
	s := &Server{
		settings: settings,
		auth:     &auth{realm: settings.Realm, secrets: settings.Secrets, users: settings.Users, probe: newProbeUser(), now: now},
		gone:     make(map[netip.Addr]time.Time),
		failed:   make(chan error, 1),
		closing:  make(chan struct{}),
	}
	s.allocations = newAllocations(s.MaxAllocations, s.UserQuota, newBandwidth(s.UserBandwidth, s.Bandwidth))
	s.allocations.bandwidth.requests = s.requestRate(s.UserQuota / quotaShare)
	s.guard, s.requests = newGuard(s), newRequests()
	if err := s.openAll(); err != nil {
		return nil, fmt.Errorf("start relay: %w", err)
	}
	return s, nil
}

// openAll opens what a server needs of the system, or nothing.
func (s *Server) openAll() (err error) {
	if s.Addresses == nil {
		if s.watcher, err = hostaddr.Open(s.Logger); err != nil {
			return err
		}
		s.Addresses = s.watcher
	}
	nets := netsOf(s.Addresses.Current())
	s.listeners, err = s.bind(nets)
	err = errors.Join(err, s.checkExternals())
	if err == nil {
		s.control, err = startControl(s.Logger)
	}
	if err != nil {
		closeAll(s.listeners)
		return errors.Join(err, s.closeWatcher())
	}
	s.policy.Store(&policy{version: 1, allow: s.Allow, deny: s.Deny, special: defaultDeny(), host: s.hostAddresses(nets)})
	return nil
}

func (s *Server) closeWatcher() error {
	if s.watcher == nil {
		return nil
	}
	return s.watcher.Close()
}

// SetPeers changes which peers may be reached, from the next packet on; see Config.Allow. On an error nothing changes.
func (s *Server) SetPeers(allow, deny []netip.Prefix) error {
	allow, err := canonicalPrefixes(allow)
	deny, err2 := canonicalPrefixes(deny)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := *s.policy.Load()
	p.version++
	p.allow, p.deny = allow, deny
	s.policy.Store(&p)
	return nil
}

// Serve answers until ctx ends or Close is called, and closes the server. It returns nil unless a socket failed. It is
// called once: a second call fails and ends the first.
func (s *Server) Serve(ctx context.Context) error {
	defer s.Close()
	if err := s.startListeners(ctx); err != nil {
		return fmt.Errorf("start relay: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-s.closing:
		return nil
	case err := <-s.failed:
		return fmt.Errorf("receive from clients: %w", err)
	}
}

func (s *Server) startListeners(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	if s.serving {
		return errServing
	}
	s.serving = true
	for _, l := range s.listeners {
		for _, p := range l.places {
			l.start(p)
		}
	}
	s.running.Go(func() { s.follow(ctx) })
	s.running.Go(s.answerRequests)
	return nil
}

// fail ends Serve with err.
func (s *Server) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// Kick closes all allocations of user, and makes the user's credentials that expire until then open no others. It
// returns how many it closed. Static users have no such credentials: theirs are closed, and can be opened again.
func (s *Server) Kick(user string, until time.Time) int {
	open := s.allocations.kick(user, until, s.auth.now())
	for _, a := range open {
		a.end()
	}
	s.reservations.drop(func(of string) bool { return of == user })
	return len(open)
}

// Drain makes the server open nothing new, and waits until nothing is open, ctx ends or the server is closed. Clients
// that ask for an allocation are told alternate (300, RFC 8489 section 10), or 486 if that is the zero AddrPort and no call
// before has named another. Over TLS and DTLS it is always 486: an alternate has no name that its certificate could prove.
func (s *Server) Drain(ctx context.Context, alternate netip.AddrPort) error {
	if !s.guard.alternate.CompareAndSwap(nil, &alternate) && alternate.IsValid() {
		s.guard.alternate.Store(&alternate)
	}
	empty := s.allocations.drain()
	s.reservations.drop(func(string) bool { return true })
	select {
	case <-empty:
		return nil
	case <-s.closing:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends all allocations, closes all sockets and waits until nothing of the server runs any more.
func (s *Server) Close() error {
	s.once.Do(func() {
		close(s.closing)
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		closeAll(append(s.listeners, s.shared))
		s.allocations.drain() // from here on nothing is opened
		s.reservations.close()
		s.control.close()
		s.running.Wait()
		s.closeWatcher()
	})
	return nil
}
