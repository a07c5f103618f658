package turnserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

var errServing = errors.New("it is served already")

// Server is a relay. Its sockets are open from Listen to Close; it answers during Serve.
type Server struct {
	// set at construction
	*settings
	auth        *auth
	policy      *policy
	allocations *allocations
	listeners   []*listener

	counters counters
	warned   atomic.Int64   // the Unix second of the last warning of a refused allocation
	readers  sync.WaitGroup // of relays
	failed   chan error     // a listener's error, the first one counts
	closing  chan struct{}
	once     sync.Once // of Close

	// guarded by mu
	mu      sync.Mutex
	serving []*listener // those whose library was started
	closed  bool
}

// Listen checks the configuration and opens all sockets, or none. Its error names all faults.
func Listen(cfg *Config) (*Server, error) { return listen(cfg, time.Now) }

func listen(cfg *Config, now func() time.Time) (*Server, error) {
	settings, err := cfg.check()
	if err != nil {
		return nil, fmt.Errorf("configure relay: %w", err)
	}
	host, err := hostNets()
	if err != nil {
		return nil, fmt.Errorf("start relay: %w", err)
	}
	sockets, err := bindListeners(settings.Listen, host)
	err = errors.Join(err, settings.external.check())
	if err != nil {
		closeAll(sockets)
		return nil, fmt.Errorf("start relay: %w", err)
	}
	s := &Server{
		settings:    settings,
		auth:        &auth{realm: settings.Realm, secrets: settings.Secrets, users: settings.Users, now: now},
		policy:      &policy{allow: settings.Allow, deny: settings.Deny, special: defaultDeny(), hostNets: host},
		allocations: newAllocations(settings.MaxAllocations, settings.UserQuota),
		failed:      make(chan error, 1),
		closing:     make(chan struct{}),
	}
	for _, socket := range sockets {
		s.addListener(socket)
	}
	return s, nil
}

func (s *Server) addListener(socket *net.UDPConn) {
	address := localAddr(socket)
	relayAt := s.external
	if !relayAt.local.IsValid() {
		relayAt = external{public: address.Addr(), local: address.Addr()}
	}
	s.listeners = append(s.listeners, &listener{
		server: s, socket: socket, address: address, relayAt: relayAt, ended: make(chan struct{}),
	})
	s.policy.listenIPs = append(s.policy.listenIPs, address.Addr())
	s.policy.listenPorts = append(s.policy.listenPorts, address.Port())
	s.policy.relayIPs = append(s.policy.relayIPs, relayAt.local, relayAt.public)
}

// check says whether relays can be opened there.
func (e external) check() error {
	if !e.local.IsValid() {
		return nil
	}
	socket, err := bind(netip.AddrPortFrom(e.local, 0))
	if err != nil {
		return fmt.Errorf("external IP: %w (it must be an address of this machine; behind a NAT write PUBLIC/LOCAL)", err)
	}
	return socket.Close()
}

// Addrs returns where clients are served, in the order of Config.Listen.
func (s *Server) Addrs() []netip.AddrPort {
	var addrs []netip.AddrPort
	for _, l := range s.listeners {
		addrs = append(addrs, l.address)
	}
	return addrs
}

// Serve answers until ctx ends or Close is called, and closes the server. It returns nil unless a socket failed. It is
// called once: a second call fails and ends the first.
func (s *Server) Serve(ctx context.Context) error {
	defer s.Close()
	if err := s.start(); err != nil {
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

func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	if len(s.serving) != 0 {
		return errServing
	}
	for _, l := range s.listeners {
		if err := startControl(l); err != nil {
			return err
		}
		s.serving = append(s.serving, l)
	}
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
	for _, r := range open {
		r.Close()
	}
	return len(open)
}

// Close ends all allocations, closes all sockets and waits until nothing of the server runs any more.
func (s *Server) Close() error {
	s.once.Do(func() {
		close(s.closing)
		s.mu.Lock()
		s.closed = true
		serving := slices.Clone(s.serving)
		s.mu.Unlock()
		for _, l := range s.listeners {
			l.socket.Close()
		}
		for _, l := range serving {
			<-l.ended // from here on it opens no relay
		}
		s.readers.Wait() // the library closes all relays when its listener has ended
	})
	return nil
}
