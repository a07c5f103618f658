// Package web is the page of sigctl: it signs in, calls, answers and chats from a
// browser, as package peer does without one. The signaling server embeds it and
// serves it beside its WebSocket:
//
//	mux.Handle("/", web.Handler())
//
// The page is plain HTML, CSS and ES modules below page/, as they are read by the
// browser: nothing builds them and they load nothing from elsewhere. app.js joins
// the parts:
//
//	signin, people, conversation    what is seen
//	session, roster                 who is signed in, who is here, and the one call
//	tokens, renewal                 what signs in, and what extends the session
//	signaling, texts                the WebSocket, and words for its codes
//	outbox, pace                    what calls send, no faster than is allowed
//	call, candidates, description   the RTCPeerConnection and its negotiation
//	channels, receipts              the data channels: texts, and what arrived
//	safety, path                    the safety code; direct or relayed
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed page
var files embed.FS

// contentTypes are fixed here because the system's own table may say otherwise,
// and with nosniff a browser runs no module of a wrong type.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// asset is one file of the page, and the tag that changes with its content.
type asset struct {
	body        []byte
	contentType string
	etag        string
}

// Handler serves the page at / and its files beside it, to GET and HEAD. Every
// answer carries the security headers; HSTS is left to the server that knows
// whether it speaks TLS, and so are WebSocket upgrades of these paths.
func Handler() http.Handler {
	assets := load()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w.Header())
		a, ok := assets[r.URL.Path]
		switch {
		case !ok:
			http.Error(w, "There is no such page here.", http.StatusNotFound)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "This page can only be read.", http.StatusMethodNotAllowed)
		default:
			w.Header().Set("Content-Type", a.contentType)
			w.Header().Set("ETag", a.etag)
			w.Header().Set("Cache-Control", "no-cache") // asked again each time: a new binary's page is seen at once
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
		}
	})
}

// setHeaders confines the page: what did not come from this server neither runs
// nor loads, and text can never become HTML. connect-src 'self' covers the
// WebSocket of the same host (CSP 3, section 6.7.2.8).
func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "+
		"img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "+
		"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", "camera=(), microphone=(), display-capture=(), geolocation=(), payment=(), usb=()")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// load returns the assets by URL path. It panics if the binary was built without
// them, which the embed directive rules out.
func load() map[string]asset {
	entries, err := fs.ReadDir(files, "page")
	if err != nil {
		panic(err)
	}
	assets := make(map[string]asset, len(entries))
	for _, e := range entries {
		body, err := files.ReadFile("page/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		urlPath := "/" + e.Name()
		if e.Name() == "index.html" {
			urlPath = "/"
		}
		assets[urlPath] = asset{
			body:        body,
			contentType: contentTypes[path.Ext(e.Name())],
			etag:        `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		}
	}
	return assets
}
