package web

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

func request(method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

// pageFiles returns the text of every embedded file by its name.
func pageFiles(t *testing.T) map[string]string {
	t.Helper()
	entries, err := fs.ReadDir(files, "page")
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, e := range entries {
		text, err := files.ReadFile("page/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		texts[e.Name()] = string(text)
	}
	return texts
}

func TestHandlerAnswers(t *testing.T) {
	for _, tt := range []struct {
		method, target string
		status         int
		contentType    string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8"},
		{"HEAD", "/", 200, "text/html; charset=utf-8"},
		{"GET", "/?from=bookmark", 200, "text/html; charset=utf-8"},
		{"GET", "/app.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/base.css", 200, "text/css; charset=utf-8"},
		{"GET", "/favicon.svg", 200, "image/svg+xml"},
		{"POST", "/", 405, "text/plain; charset=utf-8"},
		{"DELETE", "/app.js", 405, "text/plain; charset=utf-8"},
		{"GET", "/index.html", 404, "text/plain; charset=utf-8"},
		{"GET", "/page/app.js", 404, "text/plain; charset=utf-8"},
		{"GET", "/../web.go", 404, "text/plain; charset=utf-8"},
		{"POST", "/nothing", 404, "text/plain; charset=utf-8"},
	} {
		res := request(tt.method, tt.target)
		if got := res.Header.Get("Content-Type"); res.StatusCode != tt.status || got != tt.contentType {
			t.Errorf("%s %s: got %d %q, want %d %q", tt.method, tt.target, res.StatusCode, got, tt.status, tt.contentType)
		}
		if allow := res.Header.Get("Allow"); (allow == "GET, HEAD") != (tt.status == 405) {
			t.Errorf("%s %s: got Allow %q with status %d", tt.method, tt.target, allow, tt.status)
		}
	}
}

func TestSecurityHeadersOnEveryAnswer(t *testing.T) {
	want := map[string]string{
		"X-Content-Type-Options":     "nosniff",
		"Referrer-Policy":            "no-referrer",
		"Cross-Origin-Opener-Policy": "same-origin",
	}
	for _, target := range []string{"/", "/app.js", "/nothing"} {
		h := request("GET", target).Header
		for name, value := range want {
			if got := h.Get(name); got != value {
				t.Errorf("GET %s: got %s %q, want %q", target, name, got, value)
			}
		}
		for _, directive := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self';",
			"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, directive) {
				t.Errorf("GET %s: got Content-Security-Policy %q, want %q in it", target, csp, directive)
			}
		}
		if got := h.Get("Permissions-Policy"); !strings.Contains(got, "camera=()") {
			t.Errorf("GET %s: got Permissions-Policy %q, want camera=() in it", target, got)
		}
	}
}

func TestUnchangedFileIsNotSentAgain(t *testing.T) {
	first := request("GET", "/app.js")
	etag := first.Header.Get("ETag")
	if etag == "" || first.Header.Get("Cache-Control") != "no-cache" {
		t.Fatalf("got ETag %q, Cache-Control %q, want a tag and no-cache", etag, first.Header.Get("Cache-Control"))
	}
	if got := request("GET", "/app.js", "If-None-Match", etag).StatusCode; got != http.StatusNotModified {
		t.Errorf("with the tag: got %d, want 304", got)
	}
	if got := request("GET", "/app.js", "If-None-Match", `"older"`).StatusCode; got != http.StatusOK {
		t.Errorf("with an older tag: got %d, want 200", got)
	}
}

// The policy forbids what is inline: the browser would ignore it without a word.
func TestPageHasNothingInline(t *testing.T) {
	html := pageFiles(t)["index.html"]
	for what, pattern := range map[string]string{
		"an inline script":   `<script[^>]*>\s*[^<\s]`,
		"a style element":    `<style`,
		"a style attribute":  `\sstyle=`,
		"an event attribute": `\son[a-z]+=`,
		"a javascript: URL":  `javascript:`,
	} {
		if found := regexp.MustCompile(pattern).FindString(html); found != "" {
			t.Errorf("index.html has %s: %q", what, found)
		}
	}
}

func TestPageLoadsOnlyItsOwnFiles(t *testing.T) {
	reference := regexp.MustCompile(`(?:src|href)="(/[^"]*)"|from "\./([^"]+)"|url\(([^)]*)\)`)
	used := map[string]bool{"index.html": true}
	texts := pageFiles(t)
	for name, text := range texts {
		for _, m := range reference.FindAllStringSubmatch(text, -1) {
			target := strings.TrimPrefix(m[1]+m[2]+m[3], "/")
			used[target] = true
			if _, ok := texts[target]; !ok {
				t.Errorf("%s refers to %q, which is not there", name, target)
			}
		}
		outside := strings.ReplaceAll(text, "http://www.w3.org/2000/svg", "") // a namespace, never fetched
		if found := regexp.MustCompile(`(?:https?:)?//[a-z0-9-]+\.[a-z]`).FindString(outside); found != "" {
			t.Errorf("%s names the outside address %q", name, found)
		}
	}
	for name := range texts {
		if !used[name] {
			t.Errorf("%s is served, and nothing refers to it", name)
		}
		if contentTypes[path.Ext(name)] == "" {
			t.Errorf("%s has no content type", name)
		}
	}
}

// A handler that is assigned cancels the event if it returns false: keys, clicks and
// forms are listened to by onEvent instead.
func TestHandlersDoNotCancelByWhatTheyReturn(t *testing.T) {
	assigned := regexp.MustCompile(`\.on(?:key|click|dbl|input|before|submit|change|mouse|pointer|touch|wheel|scroll|drag|drop|paste|copy|cut|context|cancel|focus|blur)[a-z]*\s*=[^=]`)
	for name, text := range pageFiles(t) {
		if found := assigned.FindString(text); found != "" {
			t.Errorf("%s assigns %q", name, found)
		}
	}
}
