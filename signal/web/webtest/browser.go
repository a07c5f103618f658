//go:build integration

package webtest

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"
)

// Patience bounds every wait. It is for a loaded machine: nothing takes that long.
const Patience = 3 * time.Minute

// Browser is a browser that runs without a window.
type Browser struct {
	process *process
	wire    *wire
	engine  engine
}

// engine is what differs between the browsers.
type engine interface {
	// open opens a tab in a new profile. What the page writes to its console is
	// logged; a fault is an exception, or what the page's policy has blocked.
	open(ctx context.Context, log func(fault bool, text string)) (tab, error)
	event(session, method string, params json.RawMessage)
}

// tab is a page of a browser, as wide as a desk or as a phone.
type tab interface {
	preload(ctx context.Context, source string) error
	navigate(ctx context.Context, url string) error
	eval(ctx context.Context, expression string) (string, error) // of a string, or a promise of one
	press(ctx context.Context, strokes []stroke) error
	click(ctx context.Context, x, y float64) error
	resize(ctx context.Context, phone bool) error
	shoot(ctx context.Context) ([]byte, error)
	close(ctx context.Context) error
}

// Close ends the browser with all that its people have open.
func (b *Browser) Close() {
	b.wire.close()
	b.process.close()
}

// Person opens a tab for somebody, which is closed with the test. Scripts run in it
// before those of any page.
func (b *Browser) Person(t testing.TB, name string, scripts ...string) *Person {
	t.Helper()
	p := &Person{T: t, Name: name}
	p.do("open a tab", func(ctx context.Context) (err error) {
		p.tab, err = b.engine.open(ctx, p.log)
		return err
	})
	t.Cleanup(p.end)
	for _, source := range scripts {
		p.do("preload", func(ctx context.Context) error { return p.tab.preload(ctx, source) })
	}
	return p
}

// Lazy is a browser that is started when somebody first needs it. Its Start is one of
// the functions of this name.
type Lazy struct {
	Start func() (*Browser, error)

	once    sync.Once
	browser *Browser
	err     error
}

// Person is Browser.Person. It ends the test if the browser cannot be started.
func (l *Lazy) Person(t testing.TB, name string, scripts ...string) *Person {
	t.Helper()
	l.once.Do(func() { l.browser, l.err = l.Start() })
	if l.err != nil {
		t.Fatalf("%v (on Debian: apt install chromium firefox-esr)", l.err)
	}
	return l.browser.Person(t, name, scripts...)
}

// Close closes the browser, if it was started.
func (l *Lazy) Close() {
	if l.browser != nil {
		l.browser.Close()
	}
}
