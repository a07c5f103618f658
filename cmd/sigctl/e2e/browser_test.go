//go:build integration

package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser is the one Chromium of all tests. It trusts the CA in data as a person
// would who was told to, and no other.
type browser struct {
	ctx  context.Context
	data string // holds the CA that servers for the browser have to use
	end  []func()
}

var (
	browserOnce   sync.Once
	sharedBrowser browser
	errBrowser    error
)

// theBrowser starts Chromium when a test first needs it.
func theBrowser(t *testing.T) *browser {
	t.Helper()
	needProgram(t, "chromium", "chromium")
	browserOnce.Do(func() { errBrowser = sharedBrowser.start(t) })
	if errBrowser != nil {
		t.Fatalf("start Chromium: %v", errBrowser)
	}
	return &sharedBrowser
}

// closeBrowser ends what theBrowser started.
func closeBrowser() {
	for _, f := range sharedBrowser.end {
		f()
	}
}

func (b *browser) start(t *testing.T) error {
	data, err := os.MkdirTemp("", "sigctl-e2e-ca-*")
	if err != nil {
		return err
	}
	b.data = data
	b.end = append(b.end, func() { os.RemoveAll(data) })
	issued := filepath.Join(data, "any.pem")
	run(t, "cert", []string{sigctl, "--data", data, "cert", "server", "localhost", "--out", issued}).wantExit(0)
	pins, err := publicKeys(issued)
	if err != nil {
		return err
	}
	allocator, end := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // Chromium's own does not work for root
		chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("ignore-certificate-errors-spki-list", pins))...)
	ctx, cancel := chromedp.NewContext(allocator)
	b.end = append([]func(){cancel, end}, b.end...)
	b.ctx = ctx
	return open(ctx, cancel)
}

// open opens the browser or tab of ctx, which lives as long as that: a context
// with a deadline would take it away.
func open(ctx context.Context, cancel context.CancelFunc) error {
	tooLong := time.AfterFunc(patience, cancel)
	defer tooLong.Stop()
	return chromedp.Do(ctx)
}

// publicKeys returns the hashes of the public keys of a certificate's issuers, as
// Chromium takes them. The key of the certificate itself is not among them: every
// server has its own.
func publicKeys(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var pins []string
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", err
		}
		if c.IsCA {
			sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
			pins = append(pins, base64.StdEncoding.EncodeToString(sum[:]))
		}
	}
	if len(pins) == 0 {
		return "", errors.New("the chain holds no CA")
	}
	return strings.Join(pins, ","), nil
}

// serveForBrowser starts a server that the browser trusts.
func serveForBrowser(t *testing.T, args ...string) *server {
	t.Helper()
	data := newDataDir(t)
	if err := os.CopyFS(filepath.Join(data, "ca"), os.DirFS(filepath.Join(theBrowser(t).data, "ca"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(data, "ca"), 0o700); err != nil {
		t.Fatal(err)
	}
	return serveIn(t, data, args)
}

// person is someone at the server's page, in a browser profile of their own.
type person struct {
	t    *testing.T
	ctx  context.Context
	name string
}

// page opens the server's page for a user, who does not sign in yet.
func (s *server) page(user string) *person {
	s.t.Helper()
	ctx, cancel := chromedp.NewContext(theBrowser(s.t).ctx, chromedp.WithNewBrowserContext())
	s.t.Cleanup(cancel)
	p := &person{t: s.t, ctx: ctx, name: user}
	if err := open(ctx, cancel); err != nil {
		s.t.Fatalf("open a tab: %v", err)
	}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("%s's page says:\n%s", user, p.text())
		}
	})
	p.do(chromedp.Navigate("https://" + s.addr() + "/"))
	return p
}

// pageSignedIn opens the page and signs in.
func (s *server) pageSignedIn(user string) *person {
	s.t.Helper()
	p := s.page(user)
	p.signIn(s.passwords[user])
	p.waitFor(`document.getElementById("app").checkVisibility()`)
	return p
}

func (p *person) signIn(password string) {
	p.t.Helper()
	p.write("#name", p.name)
	p.write("#password", password+"\r")
}

// call calls somebody who is here.
func (p *person) call(name string) {
	p.t.Helper()
	row := fmt.Sprintf(`#people [data-name=%q]`, name)
	p.waitFor(fmt.Sprintf(`document.querySelector(%s)`, quote(row)))
	p.click(row)
}

func (p *person) says(text string) {
	p.t.Helper()
	p.write("#text", text+"\r")
}

// wantHeard waits until the last text of the other side is this one.
func (p *person) wantHeard(text string) {
	p.t.Helper()
	p.waitFor(fmt.Sprintf(`[...document.querySelectorAll("#messages .theirs .text")].at(-1)?.textContent === %s`, quote(text)))
}

// wantPath waits until the call is connected over a path ("direct", "relayed"),
// and returns its safety code.
func (p *person) wantPath(path string) (safety string) {
	p.t.Helper()
	p.waitFor(fmt.Sprintf(`/^Connected, (%s)$/.test(document.querySelector("#status").textContent.trim())`, path))
	p.click("#verify")
	p.waitFor(`document.getElementById("safety").open`)
	code := eval[string](p, `document.getElementById("safety-code").textContent`)
	p.click("#safety-close")
	return strings.Join(strings.Fields(code), " ")
}

// wantText waits until an element reads text.
func (p *person) wantText(selector, text string) {
	p.t.Helper()
	p.waitFor(fmt.Sprintf(`document.querySelector(%s).textContent.trim() === %s`, quote(selector), quote(text)))
}

// waitFor waits until an expression is true.
func (p *person) waitFor(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	poll := fmt.Sprintf(`new Promise((done) => { const look = () => (%s) ? done(true) : setTimeout(look, 50); look(); })`, expression)
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](poll, chromedp.EvalAwaitPromise)); err != nil {
		p.t.Fatalf("%s waited for %s: %v", p.name, expression, err)
	}
}

func (p *person) text() string {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

func (p *person) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

func (p *person) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// write replaces the text of a field.
func (p *person) write(selector, text string) {
	p.t.Helper()
	p.click(selector)
	eval[bool](p, fmt.Sprintf(`document.querySelector(%s).select(), true`, quote(selector)))
	p.do(chromedp.KeyEvent(text))
}

func eval[T any](p *person, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %s: %v", p.name, expression, err)
	}
	return value
}

func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}
