package turnserver

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/sigctl/sigctl/pkg/hostaddr"
)

// fakeAddresses are this machine's as the test says. Unlike a hostaddr.Watcher they have no
// goroutine that waits for the kernel, which would stop the time of synctest. Linux binds every
// address of 127.0.0.0/8.
type fakeAddresses struct {
	changed chan struct{}

	mu  sync.Mutex
	now []hostaddr.Address
}

func newFakeAddresses(text string) *fakeAddresses {
	f := &fakeAddresses{changed: make(chan struct{}, 1)}
	f.set(text)
	return f
}

// theAddresses are this machine's now.
func theAddresses(t testing.TB) *fakeAddresses {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, a := range all {
		texts = append(texts, a.String())
	}
	return newFakeAddresses(strings.Join(texts, " "))
}

func (f *fakeAddresses) set(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = nil
	for _, prefix := range prefixes(strings.Fields(text)...) {
		f.now = append(f.now, hostaddr.Address{Prefix: prefix})
	}
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *fakeAddresses) Current() []hostaddr.Address {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fakeAddresses) Watch() (<-chan struct{}, func()) { return f.changed, func() {} }

// Without Config.Addresses a server follows them itself, until it is closed.
func TestOwnAddresses(t *testing.T) {
	ts := newTestServer(t, func(cfg *Config) { cfg.Addresses = nil })
	if got := ts.watcher.Current(); len(got) == 0 {
		t.Error("the server knows no address of this machine")
	}
	ts.allocated("alice")
}
