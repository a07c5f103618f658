//go:build integration

package webtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// Person is someone with a tab of a browser. A method that cannot do what it says
// within Patience ends the test.
type Person struct {
	T    testing.TB
	Name string

	tab tab

	mu      sync.Mutex
	faults  []string // guarded by mu; what must not be in the console
	console []string // guarded by mu; all that is written there
}

// exception is what an expression threw.
type exception string

func (e exception) Error() string { return string(e) }

func (p *Person) log(fault bool, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.console = append(p.console, text)
	if fault {
		p.faults = append(p.faults, text)
	}
}

// Console returns what was written there.
func (p *Person) Console() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.console)
}

// end closes the tab, and fails the test if a script threw or the page's policy has
// blocked something.
func (p *Person) end() {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if p.T.Failed() {
		text, err := p.tab.eval(ctx, `document.body.innerText`)
		p.T.Logf("%s's console: %q; the page says (%v):\n%s", p.Name, p.Console(), err, text)
	}
	if err := p.tab.close(ctx); err != nil {
		p.T.Errorf("%s: %v", p.Name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fault := range p.faults {
		p.T.Errorf("%s's console: %s", p.Name, fault)
	}
}

func (p *Person) do(what string, f func(context.Context) error) {
	p.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := f(ctx); err != nil {
		p.T.Fatalf("%s: %s: %v", p.Name, what, err)
	}
}

// Navigate opens a page and waits until it is loaded.
func (p *Person) Navigate(url string) {
	p.T.Helper()
	p.do("navigate", func(ctx context.Context) error { return p.tab.navigate(ctx, url) })
	p.WaitFor(`document.readyState === "complete"`)
}

// Reload loads the page again.
func (p *Person) Reload() {
	p.T.Helper()
	Eval[any](p, `void (window.isOld = true, setTimeout(() => location.reload()))`)
	p.WaitFor(`!window.isOld && document.readyState === "complete"`)
}

// Eval returns the value of an expression, which may be a promise.
func Eval[T any](p *Person, expression string) (value T) {
	p.T.Helper()
	p.do(expression, func(ctx context.Context) error {
		text, err := p.tab.eval(ctx, fmt.Sprintf("Promise.resolve((%s\n)).then((value) => JSON.stringify(value) ?? \"null\")", expression))
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(text), &value)
	})
	return value
}

// watch looks whether a condition holds each time the document changes. What
// changes without it is looked at now and then. A condition that throws does not hold.
const watch = `new Promise((done) => {
	let fault = "";
	const holds = () => { try { return (%s); } catch (error) { fault = String(error); } };
	if (holds()) return done("");
	const end = (text) => { observer.disconnect(); clearInterval(timer); done(text); };
	const started = Date.now();
	const look = () => holds() ? end("") : Date.now() - started > %d && end(fault || "it does not hold");
	const observer = new MutationObserver(look);
	observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
	const timer = setInterval(look, 50);
})`

// WaitFor waits until a condition holds, on whatever page the tab shows then.
func (p *Person) WaitFor(condition string) {
	p.T.Helper()
	expression := fmt.Sprintf(watch, condition, Patience.Milliseconds())
	p.do("wait for "+condition, func(ctx context.Context) error {
		for {
			fault, err := p.tab.eval(ctx, expression)
			var thrown exception
			switch {
			case err == nil && fault == "":
				return nil
			case err == nil:
				return errors.New(fault)
			case errors.As(err, &thrown) || errors.Is(err, errLost) || ctx.Err() != nil:
				return err
			}
			time.Sleep(10 * time.Millisecond) // the page has just gone, and the next is not there yet
		}
	})
}

// WantText waits until an element reads text.
func (p *Person) WantText(selector, text string) {
	p.T.Helper()
	p.WaitFor(fmt.Sprintf(`document.querySelector(%s).textContent.trim() === %s`, Quote(selector), Quote(text)))
}

// WantVisible waits until an element can be seen.
func (p *Person) WantVisible(selector string) {
	p.T.Helper()
	p.WaitFor(fmt.Sprintf(`document.querySelector(%s).checkVisibility()`, Quote(selector)))
}

// WantFocus waits until an element has the focus.
func (p *Person) WantFocus(selector string) {
	p.T.Helper()
	p.WaitFor(fmt.Sprintf(`document.activeElement.matches(%s)`, Quote(selector)))
}

// Press presses keys one after the other, with modifiers before them: "Tab",
// "Shift+Enter".
func (p *Person) Press(keys ...string) {
	p.T.Helper()
	var strokes []stroke
	for _, name := range keys {
		strokes = append(strokes, chord(name)...)
	}
	p.press(strokes)
}

func (p *Person) press(strokes []stroke) {
	p.T.Helper()
	p.do("press keys", func(ctx context.Context) error { return p.tab.press(ctx, strokes) })
}

// Type types a text wherever the focus is; "\r" is the Enter key.
func (p *Person) Type(text string) {
	p.T.Helper()
	p.press(typing(text))
}

// place finds where an element can be clicked: its middle, once that is in view,
// stands still and is not covered.
const place = `(async () => {
	const element = document.querySelector(%s);
	if (!element?.checkVisibility() || element.disabled) return "";
	element.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
	const middle = () => { const { x, y, width, height } = element.getBoundingClientRect(); return [x + width / 2, y + height / 2]; };
	const before = middle();
	await new Promise(requestAnimationFrame);
	const [x, y] = middle();
	const at = document.elementFromPoint(x, y);
	return at && element.contains(at) && x === before[0] && y === before[1] ? JSON.stringify([x, y]) : "";
})()`

// Click clicks on an element as soon as it can be.
func (p *Person) Click(selector string) {
	p.T.Helper()
	expression := fmt.Sprintf(place, Quote(selector))
	p.do("click "+selector, func(ctx context.Context) error {
		for {
			text, err := p.tab.eval(ctx, expression)
			if err != nil {
				return err
			}
			if text != "" {
				var at [2]float64
				if err := json.Unmarshal([]byte(text), &at); err != nil {
					return err
				}
				return p.tab.click(ctx, at[0], at[1])
			}
			if ctx.Err() != nil {
				return fmt.Errorf("it cannot be clicked: %w", ctx.Err())
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// Write replaces the text of a field.
func (p *Person) Write(selector, text string) {
	p.T.Helper()
	p.Click(selector)
	p.Press("Control+a")
	p.Type(text)
}

// chromium returns what only Chromium can do.
func (p *Person) chromium() *chromiumTab {
	p.T.Helper()
	t, ok := p.tab.(*chromiumTab)
	if !ok {
		p.T.Fatalf("%s: this needs Chromium", p.Name)
	}
	return t
}

// Insert enters a text at once, as a paste or an input method does. It needs Chromium.
func (p *Person) Insert(text string) {
	p.T.Helper()
	p.do("insert", func(ctx context.Context) error { return p.chromium().insert(ctx, text) })
}

// Prefer makes the person prefer a color scheme, "light" or "dark". It needs Chromium.
func (p *Person) Prefer(scheme string) {
	p.T.Helper()
	p.do("prefer", func(ctx context.Context) error { return p.chromium().prefer(ctx, scheme) })
}

// Resize makes the screen that of a phone, or a wide one as it is at first.
func (p *Person) Resize(phone bool) {
	p.T.Helper()
	p.do("resize", func(ctx context.Context) error { return p.tab.resize(ctx, phone) })
}

// Shoot writes a picture of the page to a file (PNG).
func (p *Person) Shoot(file string) {
	p.T.Helper()
	p.do("take a picture", func(ctx context.Context) error {
		picture, err := p.tab.shoot(ctx)
		if err != nil {
			return err
		}
		return os.WriteFile(file, picture, 0o644)
	})
}

// Quote returns text as a literal of JavaScript.
func Quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}
