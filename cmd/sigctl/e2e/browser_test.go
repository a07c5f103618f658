//go:build integration

package e2e

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sigctl/sigctl/signal/web/webtest"
)

// The browsers of all tests. Chromium trusts the CA in browserData as a person would who
// was told to, and no other; Firefox trusts any.
var (
	chromium = webtest.Lazy{Start: startChromium}
	firefox  = webtest.Lazy{Start: webtest.StartFirefox}

	browserData = sync.OnceValues(newBrowserData)
)

// closeBrowsers ends what was started.
func closeBrowsers() {
	chromium.Close()
	firefox.Close()
	if data, err := browserData(); err == nil {
		os.RemoveAll(data)
	}
}

// newBrowserData makes the data directory of the CA that servers for the browsers use.
func newBrowserData() (string, error) {
	data, err := os.MkdirTemp("", "sigctl-e2e-ca-*")
	if err != nil {
		return "", err
	}
	issue := exec.Command(sigctl, "--data", data, "cert", "server", "localhost", "--out", filepath.Join(data, "any.pem"))
	if out, err := issue.CombinedOutput(); err != nil {
		return "", fmt.Errorf("issue a certificate: %w: %s", err, out)
	}
	return data, nil
}

func startChromium() (*webtest.Browser, error) {
	data, err := browserData()
	if err != nil {
		return nil, err
	}
	pins, err := publicKeys(filepath.Join(data, "any.pem"))
	if err != nil {
		return nil, err
	}
	return webtest.StartChromium("--ignore-certificate-errors-spki-list=" + pins)
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

// serveForBrowser starts a server that the browsers trust.
func serveForBrowser(t *testing.T, args ...string) *server {
	t.Helper()
	trusted, err := browserData()
	if err != nil {
		t.Fatal(err)
	}
	data := newDataDir(t)
	if err := os.CopyFS(filepath.Join(data, "ca"), os.DirFS(filepath.Join(trusted, "ca"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(data, "ca"), 0o700); err != nil {
		t.Fatal(err)
	}
	return serveIn(t, data, args)
}

// page opens the server's page in Chromium for a user, who does not sign in yet.
func (s *server) page(user string) *webtest.Person {
	s.t.Helper()
	return s.pageIn(&chromium, user)
}

func (s *server) pageIn(browser *webtest.Lazy, user string) *webtest.Person {
	s.t.Helper()
	p := browser.Person(s.t, user)
	p.Navigate("https://" + s.addr() + "/")
	return p
}

// pageSignedIn opens the page and signs in.
func (s *server) pageSignedIn(user string) *webtest.Person {
	s.t.Helper()
	return s.signedIn(s.page(user))
}

func (s *server) signedIn(p *webtest.Person) *webtest.Person {
	s.t.Helper()
	p.SignIn(s.passwords[p.Name])
	p.WantVisible("#app")
	return p
}

// wantPagePath waits until the call is connected over a path ("direct", "relayed" or
// "direct|relayed"), and returns its safety code.
func wantPagePath(p *webtest.Person, path string) (safety string) {
	p.T.Helper()
	p.WaitFor(fmt.Sprintf(`/^Connected, (%s)$/.test(document.querySelector("#status").textContent.trim())`, path))
	return p.SafetyCode()
}
