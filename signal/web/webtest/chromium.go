//go:build integration

package webtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// chromium drives tabs by the DevTools protocol. The browser itself is the session "".
type chromium struct {
	wire *wire

	mu   sync.Mutex
	tabs map[string]*chromiumTab // guarded by mu; by session
	idle []*chromiumTab          // guarded by mu
}

// chromiumTab is a tab with a profile of its own. Whoever comes next gets it, with its
// profile: to open one costs as much as most tests.
type chromiumTab struct {
	*chromium
	session string
	log     func(fault bool, text string) // guarded by mu
	scripts []string                      // that run in every page
}

// StartChromium starts Chromium, with flags beside those that keep it to itself.
func StartChromium(flags ...string) (*Browser, error) {
	p, address, err := startProcess("chromium", "--user-data-dir=%s", func(string) error { return nil }, append([]string{
		"--headless", "--remote-debugging-port=0",
		"--no-sandbox", // its own does not work for root
		"--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update",
		"--disable-default-apps", "--disable-extensions", "--disable-sync", "--disable-breakpad", "--disable-gpu",
		"--disable-dev-shm-usage", "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
		"--disable-backgrounding-occluded-windows", "--password-store=basic", "--force-color-profile=srgb",
		"--enable-features=NetworkServiceInProcess", "--disable-features=Translate,BackForwardCache,MediaRouter,SpareRendererForSitePerProcess",
		"--disable-site-isolation-trials", "--renderer-process-limit=1", // processes cost more than all that the tests do in them,
	}, flags...)...)
	if err != nil {
		return nil, err
	}
	c := &chromium{tabs: map[string]*chromiumTab{}}
	if c.wire, err = dial(address, c.event); err != nil {
		p.close()
		return nil, err
	}
	return &Browser{process: p, wire: c.wire, engine: c}, nil
}

func (c *chromium) open(ctx context.Context, log func(fault bool, text string)) (tab, error) {
	t, err := c.idleTab(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t.log = log
	c.tabs[t.session] = t
	return t, nil
}

func (c *chromium) idleTab(ctx context.Context) (*chromiumTab, error) {
	c.mu.Lock()
	n := len(c.idle)
	if n == 0 {
		c.mu.Unlock()
		return c.newTab(ctx)
	}
	defer c.mu.Unlock()
	t := c.idle[n-1]
	c.idle = c.idle[:n-1]
	return t, nil
}

func (c *chromium) newTab(ctx context.Context) (*chromiumTab, error) {
	var profile struct{ BrowserContextID string }
	var target struct{ TargetID string }
	var attached struct{ SessionID string }
	err := c.wire.call(ctx, "", "Target.createBrowserContext", object{"disposeOnDetach": true}, &profile)
	if err == nil {
		err = c.wire.call(ctx, "", "Target.createTarget", object{"url": "about:blank", "browserContextId": profile.BrowserContextID, "newWindow": true}, &target)
	}
	if err == nil {
		err = c.wire.call(ctx, "", "Target.attachToTarget", object{"targetId": target.TargetID, "flatten": true}, &attached)
	}
	if err != nil {
		return nil, err
	}
	t := &chromiumTab{chromium: c, session: attached.SessionID}
	none := object{}
	err = t.all(ctx, "Page.enable", none, "Runtime.enable", none, "Log.enable", none, "Emulation.setFocusEmulationEnabled", object{"enabled": true})
	if err != nil {
		return nil, err
	}
	return t, t.resize(ctx, false)
}

// event logs what a tab's page writes to its console.
func (c *chromium) event(session, method string, params json.RawMessage) {
	var e struct {
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
		Args  []struct{ Value json.RawMessage }
		Entry struct{ Source, Text, URL string }
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tabs[session]
	if t == nil {
		return
	}
	switch method {
	case "Runtime.exceptionThrown":
		t.log(true, e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
	case "Runtime.consoleAPICalled":
		for _, arg := range e.Args {
			t.log(false, string(arg.Value))
		}
	case "Log.entryAdded":
		t.log(e.Entry.Source == "security", e.Entry.Text+" "+e.Entry.URL)
	}
}

// all sends commands with their parameters at once, and waits until all are done.
func (t *chromiumTab) all(ctx context.Context, commands ...any) error {
	var answers []<-chan answer
	for i := 0; i < len(commands); i += 2 {
		answers = append(answers, t.wire.send(t.session, commands[i].(string), commands[i+1]))
	}
	var errs []error
	for i, from := range answers {
		errs = append(errs, receive(ctx, commands[2*i].(string), from, nil))
	}
	return errors.Join(errs...)
}

func (t *chromiumTab) preload(ctx context.Context, source string) error {
	var result struct{ Identifier string }
	if err := t.wire.call(ctx, t.session, "Page.addScriptToEvaluateOnNewDocument", object{"source": source}, &result); err != nil {
		return err
	}
	t.scripts = append(t.scripts, result.Identifier)
	return nil
}

func (t *chromiumTab) navigate(ctx context.Context, url string) error {
	var result struct{ ErrorText string }
	if err := t.wire.call(ctx, t.session, "Page.navigate", object{"url": url}, &result); err != nil {
		return err
	}
	if result.ErrorText != "" {
		return fmt.Errorf("navigate to %s: %s", url, result.ErrorText)
	}
	return nil
}

func (t *chromiumTab) eval(ctx context.Context, expression string) (string, error) {
	var result struct {
		Result           struct{ Value string }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	params := object{"expression": expression, "awaitPromise": true, "returnByValue": true}
	if err := t.wire.call(ctx, t.session, "Runtime.evaluate", params, &result); err != nil {
		return "", err
	}
	if e := result.ExceptionDetails; e != nil {
		return "", exception(e.Exception.Description)
	}
	return result.Result.Value, nil
}

func (t *chromiumTab) press(ctx context.Context, strokes []stroke) error {
	var commands []any
	for _, s := range strokes {
		event := object{"type": "keyUp", "key": s.name, "code": s.code, "windowsVirtualKeyCode": s.vk, "modifiers": s.modifiers}
		switch {
		case s.down && s.text != "":
			event["type"], event["text"] = "keyDown", s.text
		case s.down:
			event["type"] = "rawKeyDown"
		}
		commands = append(commands, "Input.dispatchKeyEvent", event)
	}
	return t.all(ctx, commands...)
}

// insert enters a text at once, as a paste or an input method does.
func (t *chromiumTab) insert(ctx context.Context, text string) error {
	return t.all(ctx, "Input.insertText", object{"text": text})
}

func (t *chromiumTab) click(ctx context.Context, x, y float64) error {
	mouse := func(kind, button string, buttons int) object {
		return object{"type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1}
	}
	return t.all(ctx, "Input.dispatchMouseEvent", mouse("mouseMoved", "none", 0),
		"Input.dispatchMouseEvent", mouse("mousePressed", "left", 1), "Input.dispatchMouseEvent", mouse("mouseReleased", "left", 0))
}

func (t *chromiumTab) resize(ctx context.Context, phone bool) error {
	screen := object{"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": false}
	if phone {
		screen = object{"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true}
	}
	return t.all(ctx, "Emulation.setDeviceMetricsOverride", screen, "Emulation.setTouchEmulationEnabled", object{"enabled": phone})
}

// prefer makes the person prefer a color scheme, and less motion.
func (t *chromiumTab) prefer(ctx context.Context, scheme string) error {
	return t.all(ctx, "Emulation.setEmulatedMedia", object{"features": []object{
		{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"},
	}})
}

func (t *chromiumTab) shoot(ctx context.Context) ([]byte, error) {
	var result struct{ Data []byte }
	err := t.wire.call(ctx, t.session, "Page.captureScreenshot", object{}, &result)
	return result.Data, err
}

// close leaves the page, as somebody does who closes the tab.
func (t *chromiumTab) close(ctx context.Context) error {
	commands := []any{"Page.navigate", object{"url": "about:blank"}, "Emulation.setEmulatedMedia", object{}}
	for _, id := range t.scripts {
		commands = append(commands, "Page.removeScriptToEvaluateOnNewDocument", object{"identifier": id})
	}
	t.scripts = nil
	if err := errors.Join(t.all(ctx, commands...), t.resize(ctx, false)); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tabs, t.session)
	t.idle = append(t.idle, t)
	return nil
}
