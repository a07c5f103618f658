//go:build integration

package web

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	pageproto "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const patience = 40 * time.Second // for anything the browser is asked to do

// browser is the one Chromium of all tests, set by TestMain.
var browser context.Context

func TestMain(m *testing.M) {
	os.Exit(func() int {
		allocator, end := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.IgnoreCertErrors)...)
		defer end()
		ctx, cancel := chromedp.NewContext(allocator)
		defer cancel()
		if err := chromedp.Do(ctx); err != nil {
			log.Printf("start Chromium (Debian: apt install chromium): %v", err)
			return 1
		}
		browser = ctx
		return m.Run()
	}())
}

// person is someone at a page, in a browser profile of their own.
type person struct {
	t    *testing.T
	ctx  context.Context
	name string

	mu       sync.Mutex
	faults   []string // guarded by mu; what must not be in the console
	warnings []string // guarded by mu; all else that is written there
}

// newPerson opens the page. Scripts run in it before the page's own.
func newPerson(t *testing.T, s *fakeServer, name string, scripts ...string) *person {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &person{t: t, ctx: ctx, name: name}
	p.watchConsole()
	for _, source := range scripts {
		p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, pageproto.AddScriptToEvaluateOnNewDocument, pageproto.AddScriptToEvaluateOnNewDocumentParams{Source: source})
			return err
		}))
	}
	p.do(chromedp.EmulateViewport(1280, 800), chromedp.Navigate(s.URL))
	return p
}

// watchConsole fails the test when a script throws or the policy blocks something.
func (p *person) watchConsole() {
	err := chromedp.Listen(p.ctx, func(event any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			p.faults = append(p.faults, e.ExceptionDetails.Text+" "+fmt.Sprint(e.ExceptionDetails.Exception))
		case *runtime.EventConsoleAPICalled:
			for _, arg := range e.Args {
				p.warnings = append(p.warnings, string(arg.Value))
			}
		case *cdplog.EventEntryAdded:
			p.warnings = append(p.warnings, e.Entry.Text+" "+e.Entry.URL)
			if e.Entry.Source == "security" || e.Entry.Source == "javascript" {
				p.faults = append(p.faults, e.Entry.Text)
			}
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, fault := range p.faults {
			p.t.Errorf("%s's console: %s", p.name, fault)
		}
	})
}

func (p *person) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// eval returns the value of an expression, which may be a promise.
func eval[T any](p *person, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %s: %v", p.name, expression, err)
	}
	return value
}

// waitFor waits until an expression is true. (chromedp's own polling compiles
// text in the page, which its policy forbids.)
func (p *person) waitFor(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	poll := fmt.Sprintf(`new Promise((done) => { const look = () => (%s) ? done(true) : setTimeout(look, 10); look(); })`, expression)
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](poll, chromedp.EvalAwaitPromise)); err != nil {
		text := eval[string](p, `document.body.innerText`)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.t.Fatalf("%s waited for %s: %v; its console: %q; the page says:\n%s", p.name, expression, err, p.warnings, text)
	}
}

// wantText waits until the element with this id reads text.
func (p *person) wantText(id, text string) {
	p.t.Helper()
	p.waitFor(fmt.Sprintf(`document.getElementById(%s).textContent.trim() === %s`, quote(id), quote(text)))
}

func (p *person) wantVisible(id string) {
	p.t.Helper()
	p.waitFor(fmt.Sprintf(`document.getElementById(%s)?.checkVisibility()`, quote(id)))
}

func (p *person) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

func (p *person) write(selector, text string) {
	p.t.Helper()
	p.click(selector)
	eval[bool](p, fmt.Sprintf(`document.querySelector(%s).select(), true`, quote(selector)))
	p.do(keys(text))
}

// keys types a text as a browser reports it: each key goes down with the text that
// it enters, and up. (chromedp.KeyEvent enters the text by an event of its own, which
// arrives even where the page cancels the key.)
func keys(text string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		for _, r := range text {
			key := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: string(r), Text: string(r)}
			switch r {
			case '\r':
				key.Key, key.Code, key.WindowsVirtualKeyCode = "Enter", "Enter", 13
			case '\t':
				key.Key, key.Code, key.WindowsVirtualKeyCode, key.Text = "Tab", "Tab", 9, ""
			}
			if _, err := cdp.Call(ctx, target, input.DispatchKeyEvent, key); err != nil {
				return err
			}
			key.Type, key.Text = input.DispatchKeyEventTypeKeyUp, ""
			if _, err := cdp.Call(ctx, target, input.DispatchKeyEvent, key); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *person) signIn(password string) {
	p.t.Helper()
	p.write("#name", p.name)
	p.write("#password", password+"\r")
}

func (p *person) signInTo(room, password string) {
	p.t.Helper()
	p.write("#room", room)
	p.signIn(password)
}

// signedIn returns people who are signed in and see each other.
func signedIn(t *testing.T, s *fakeServer, names ...string) []*person {
	t.Helper()
	var people []*person
	for _, name := range names {
		p := newPerson(t, s, name)
		p.signIn(name + "-password")
		p.wantVisible("app")
		people = append(people, p)
	}
	return people
}

// wantPerson waits until name is among the people who can be called.
func (p *person) wantPerson(name string) {
	p.t.Helper()
	p.waitFor(fmt.Sprintf(`document.querySelector('#people [data-name=' + %s + ']') !== null`, quote(name)))
}

func (p *person) call(other *person) {
	p.t.Helper()
	p.click(`#people [data-name="` + other.name + `"]`)
}

// inCall returns two people whose call is open.
func inCall(t *testing.T, s *fakeServer) (alice, bob *person) {
	t.Helper()
	people := signedIn(t, s, "alice", "bob")
	alice, bob = people[0], people[1]
	alice.call(bob)
	for _, p := range people {
		p.wantText("status", "Connected, direct")
	}
	return alice, bob
}

func (p *person) say(text string) {
	p.t.Helper()
	p.write("#text", text+"\r")
}

// wantHeard waits until the last text of the other side is this one.
func (p *person) wantHeard(text string) {
	p.t.Helper()
	p.waitFor(fmt.Sprintf(`[...document.querySelectorAll("#messages .theirs .text")].at(-1)?.textContent === %s`, quote(text)))
}

func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}
