package hostaddr

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// PollInterval is how soon a change is noticed on systems that do not announce changes.
const PollInterval = 5 * time.Second

// Address is an address of one of this machine's interfaces.
type Address struct {
	netip.Prefix // the address itself, with the length of its network

	// Tentative is set while an IPv6 address cannot be bound because another machine may have it,
	// and stays set if another machine does (RFC 4862 section 5.4). Only Linux reports it.
	Tentative bool
}

// IsUsable reports whether programs on other machines can send to the address without naming an
// interface.
func (a Address) IsUsable() bool {
	ip := a.Addr()
	return ip.IsGlobalUnicast() && !a.Tentative
}

// Watcher knows this machine's addresses. Its methods may be called by several goroutines.
type Watcher struct {
	// set by Open
	log    *slog.Logger
	system system
	done   chan struct{} // closed when run has returned

	current atomic.Pointer[[]Address]
	told    string // the last failure; owned by run

	mu       sync.Mutex
	watchers map[chan struct{}]struct{} // guarded by mu
}

// system is what the operating system knows.
type system interface {
	// list returns all addresses of all interfaces. It is called by one goroutine at a time.
	list() ([]Address, error)
	// wait waits until the addresses may have changed, and returns false after close.
	wait() bool
	close() error
}

// Open reads the addresses and follows them until Close. It logs every change at level Info, and a
// warning when it can no longer read the addresses. A nil log discards both.
func Open(log *slog.Logger) (*Watcher, error) {
	system, err := openSystem()
	if err != nil {
		return nil, fmt.Errorf("follow this machine's addresses: %w", err)
	}
	return open(system, log)
}

func open(system system, log *slog.Logger) (*Watcher, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{log: log, system: system, done: make(chan struct{}), watchers: make(map[chan struct{}]struct{})}
	first, err := system.list()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("list this machine's addresses: %w", err), system.close())
	}
	w.current.Store(&first)
	go w.run()
	return w, nil
}

// Current returns the addresses in the system's order. The slice belongs to the Watcher and never
// changes.
func (w *Watcher) Current() []Address { return *w.current.Load() }

// Watch returns a channel that receives a value when Current has changed. Changes that nobody has
// received yet count as one. Stop ends the watch; it does not close the channel.
func (w *Watcher) Watch() (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watchers[c] = struct{}{}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.watchers, c)
	}
}

// Close stops following and waits until that is done. Current keeps the last addresses.
func (w *Watcher) Close() error {
	err := w.system.close()
	<-w.done
	return err
}

func (w *Watcher) run() {
	defer close(w.done)
	for w.system.wait() {
		w.look()
	}
}

// look reads the addresses and notifies the watchers if they have changed.
func (w *Watcher) look() {
	now, err := w.system.list()
	if err != nil {
		if err.Error() != w.told {
			w.told = err.Error()
			w.log.Warn("cannot read this machine's addresses: changes go unnoticed", "err", err)
		}
		return
	}
	w.told = ""
	before := w.Current()
	if slices.Equal(now, before) {
		return
	}
	w.current.Store(&now)
	w.notify()
	w.log.Info("this machine's addresses changed", "added", missing(before, now), "removed", missing(now, before))
}

func (w *Watcher) notify() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.watchers {
		select {
		case c <- struct{}{}:
		default: // it holds one already
		}
	}
}

// missing returns the addresses of list that are not in from.
func missing(from, list []Address) []string {
	var found []string
	for _, a := range list {
		if slices.Contains(from, a) {
			continue
		}
		text := a.String()
		if a.Tentative {
			text += " (tentative)"
		}
		found = append(found, text)
	}
	return found
}
