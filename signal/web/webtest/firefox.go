//go:build integration

package webtest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// firefox drives tabs by WebDriver BiDi.
type firefox struct {
	wire *wire

	mu   sync.Mutex
	tabs map[string]*firefoxTab // guarded by mu; by browsing context

	acting sync.Mutex // held while one tab has the keyboard and the pointer
}

type firefoxTab struct {
	*firefox
	profile, context string
	log              func(fault bool, text string)
}

// firefoxPrefs keep it to itself. Its mDNS needs a network with multicast.
const firefoxPrefs = `
user_pref("media.peerconnection.ice.obfuscate_host_addresses", false);
user_pref("media.peerconnection.ice.loopback", true);
user_pref("browser.startup.page", 0);
user_pref("app.normandy.enabled", false);
user_pref("app.update.disabledForTesting", true);
user_pref("browser.backup.enabled", false);
user_pref("browser.region.update.enabled", false);
user_pref("browser.safebrowsing.update.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.update.enabled", false);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("nimbus.rollouts.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:1/");
user_pref("toolkit.cosmeticAnimations.enabled", false);
user_pref("ui.prefersReducedMotion", 1);
`

// StartFirefox starts Firefox. It accepts every certificate.
func StartFirefox() (*Browser, error) {
	prepare := func(profile string) error {
		return os.WriteFile(filepath.Join(profile, "user.js"), []byte(firefoxPrefs), 0o600)
	}
	p, address, err := startProcess("firefox-esr", "--profile=%s", prepare, "--headless", "--no-remote", "--remote-debugging-port=0", "about:blank")
	if err != nil {
		return nil, err
	}
	f := &firefox{tabs: map[string]*firefoxTab{}}
	if f.wire, err = dial(address+"/session", f.event); err != nil {
		p.close()
		return nil, err
	}
	b := &Browser{process: p, wire: f.wire, engine: f}
	if err := f.begin(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (f *firefox) begin() error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	capabilities := object{"alwaysMatch": object{"acceptInsecureCerts": true}}
	if err := f.wire.call(ctx, "", "session.new", object{"capabilities": capabilities}, nil); err != nil {
		return err
	}
	return f.wire.call(ctx, "", "session.subscribe", object{"events": []string{"log.entryAdded"}}, nil)
}

func (f *firefox) open(ctx context.Context, log func(fault bool, text string)) (tab, error) {
	var profile struct{ UserContext string }
	if err := f.wire.call(ctx, "", "browser.createUserContext", object{}, &profile); err != nil {
		return nil, err
	}
	var created struct{ Context string }
	if err := f.wire.call(ctx, "", "browsingContext.create", object{"type": "window", "userContext": profile.UserContext}, &created); err != nil {
		return nil, err
	}
	t := &firefoxTab{firefox: f, profile: profile.UserContext, context: created.Context, log: log}
	f.mu.Lock()
	f.tabs[t.context] = t
	f.mu.Unlock()
	return t, t.resize(ctx, false)
}

// event logs what a tab's page writes to its console.
func (f *firefox) event(_, _ string, params json.RawMessage) {
	var e struct {
		Type, Level, Text string
		Source            struct{ Context string }
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	f.mu.Lock()
	t := f.tabs[e.Source.Context]
	f.mu.Unlock()
	if t != nil {
		t.log(e.Type == "javascript" && e.Level == "error", e.Text)
	}
}

func (t *firefoxTab) call(ctx context.Context, method string, params object, result any) error {
	params["context"] = t.context
	return t.wire.call(ctx, "", method, params, result)
}

func (t *firefoxTab) preload(ctx context.Context, source string) error {
	return t.wire.call(ctx, "", "script.addPreloadScript", object{
		"functionDeclaration": "() => {" + source + "\n}", "contexts": []string{t.context},
	}, nil)
}

func (t *firefoxTab) navigate(ctx context.Context, url string) error {
	return t.call(ctx, "browsingContext.navigate", object{"url": url, "wait": "complete"}, nil)
}

func (t *firefoxTab) eval(ctx context.Context, expression string) (string, error) {
	var result struct {
		Result           struct{ Value string }
		ExceptionDetails struct{ Text string }
	}
	params := object{"functionDeclaration": "() => " + expression, "awaitPromise": true, "target": object{"context": t.context}}
	if err := t.wire.call(ctx, "", "script.callFunction", params, &result); err != nil {
		return "", err
	}
	if text := result.ExceptionDetails.Text; text != "" {
		return "", exception(text)
	}
	return result.Result.Value, nil
}

// act brings the tab to the front, where the keyboard and the pointer are, and makes
// the actions of one of them.
func (t *firefoxTab) act(ctx context.Context, device string, actions []object) error {
	t.acting.Lock()
	defer t.acting.Unlock()
	if err := t.call(ctx, "browsingContext.activate", object{}, nil); err != nil {
		return err
	}
	source := object{"type": device, "id": device, "actions": actions}
	return t.call(ctx, "input.performActions", object{"actions": []object{source}}, nil)
}

func (t *firefoxTab) press(ctx context.Context, strokes []stroke) error {
	var actions []object
	for _, s := range strokes {
		action := object{"type": "keyUp", "value": s.name}
		if s.down {
			action["type"] = "keyDown"
		}
		if s.value != "" {
			action["value"] = s.value
		}
		actions = append(actions, action)
	}
	return t.act(ctx, "key", actions)
}

func (t *firefoxTab) click(ctx context.Context, x, y float64) error {
	return t.act(ctx, "pointer", []object{
		{"type": "pointerMove", "x": int(x), "y": int(y)}, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0},
	})
}

func (t *firefoxTab) resize(ctx context.Context, phone bool) error {
	width, height := 1280, 800
	if phone {
		width, height = 390, 844
	}
	return t.call(ctx, "browsingContext.setViewport", object{"viewport": object{"width": width, "height": height}}, nil)
}

func (t *firefoxTab) shoot(ctx context.Context) ([]byte, error) {
	var result struct{ Data []byte }
	err := t.call(ctx, "browsingContext.captureScreenshot", object{}, &result)
	return result.Data, err
}

func (t *firefoxTab) close(ctx context.Context) error {
	t.mu.Lock()
	delete(t.tabs, t.context)
	t.mu.Unlock()
	err := t.wire.call(ctx, "", "browser.removeUserContext", object{"userContext": t.profile}, nil)
	if err != nil {
		return fmt.Errorf("close the tab: %w", err)
	}
	return nil
}
