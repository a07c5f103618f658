//go:build integration

package deploy

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
)

// forgeries are what clients say of themselves.
var forgeries = []struct {
	name  string
	front string // before TLS
	lines []string
}{
	{name: "nothing"},
	{name: "X-Forwarded-For", lines: []string{"X-Forwarded-For: 6.6.6.6"}},
	{name: "lines of X-Forwarded-For", lines: []string{"X-Forwarded-For: 6.6.6.6, 7.7.7.7", "x-forwarded-for: 127.0.0.1"}},
	{name: "X-Forwarded-For with underscores", lines: []string{"X_Forwarded_For: 6.6.6.6"}},
	{name: "Forwarded", lines: []string{"Forwarded: for=6.6.6.6"}},
	{name: "X-Real-IP", lines: []string{"X-Real-IP: 6.6.6.6"}},
	{name: "a wish to drop the proxy's header", lines: []string{"X-Forwarded-For: 6.6.6.6", "Connection: close, X-Forwarded-For"}},
	{name: "PROXY header, version 1", front: "PROXY TCP4 6.6.6.6 203.0.113.1 4711 443\r\n"},
	{name: "PROXY header, version 2", front: "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x06\x06\x06\x06\xcb\x00\x71\x01\x12\x67\x01\xbb"},
	{name: "PROXY header, local", front: "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"},
}

// testClient sends every forgery through the proxy, and past it.
func (s *site) testClient(passthrough bool) {
	direct := serverName
	if !passthrough {
		direct = "" // plain HTTP
	}
	for _, tt := range forgeries {
		for _, way := range []struct{ addr, name, client string }{
			{net.JoinHostPort(proxy4, "443"), serverName, client4},
			{net.JoinHostPort(proxy6, "443"), serverName, client6},
			{net.JoinHostPort(proxy4, "9090"), direct, client4},
		} {
			s.t.Run(tt.name+" to "+way.addr, func(t *testing.T) {
				lines := append([]string{"GET / HTTP/1.1", "Host: " + serverName}, tt.lines...)
				resp, body, err := s.request(way.addr, way.name, tt.front, lines...)
				if tt.front != "" {
					if err == nil && resp.StatusCode != http.StatusBadRequest {
						t.Errorf("the answer is %s: %s, want it refused", resp.Status, body)
					}
					return
				}
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Fatalf("no answer: %v, %v", resp, err)
				}
				var got seen
				if err := json.Unmarshal(body, &got); err != nil {
					t.Fatal(err)
				}
				if got.Client != way.client {
					t.Errorf("the client is %s, want %s", got.Client, way.client)
				}
				if !passthrough && way.name != "" {
					wantProxied(t, way.client, resp, got.Header)
				}
			})
		}
	}
}

// wantProxied checks what a proxy that ends TLS has to add and to take away.
func wantProxied(t *testing.T, client string, resp *http.Response, got http.Header) {
	t.Helper()
	if values := strings.Join(got["X-Forwarded-For"], "; "); values != client {
		t.Errorf("X-Forwarded-For is %q, want %q", values, client)
	}
	for _, name := range []string{"Forwarded", "X-Real-Ip"} {
		if values, ok := got[name]; ok {
			t.Errorf("%s: %q has come through", name, values)
		}
	}
	if hsts := resp.Header["Strict-Transport-Security"]; len(hsts) != 1 {
		t.Errorf("Strict-Transport-Security is %q, want one", hsts)
	}
}

// testRedirect checks what is said to those who come without TLS.
func (s *site) testRedirect() {
	resp, _, err := s.request(net.JoinHostPort(proxy4, "80"), "", "", "GET /a?b HTTP/1.1", "Host: evil.example")
	if err != nil {
		s.t.Fatal(err)
	}
	want := "https://" + serverName + "/a?b"
	if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusMovedPermanently || got != want {
		s.t.Errorf("port 80: %s to %q, want 301 to %q", resp.Status, got, want)
	}
}

// testNames checks that a proxy that ends TLS serves its own name alone, and bodies
// of requests that sigctl would take.
func (s *site) testNames() {
	addr := net.JoinHostPort(proxy4, "443")
	if resp, _, err := s.request(addr, "other.example", "", "GET / HTTP/1.1", "Host: other.example"); err == nil {
		s.t.Errorf("another name in the handshake: %s, want none", resp.Status)
	}
	for _, tt := range []struct {
		name  string
		want  int
		lines []string
	}{
		{"another name", http.StatusMisdirectedRequest, []string{"GET / HTTP/1.1", "Host: other.example"}},
		{"the name with the port", http.StatusOK, []string{"GET / HTTP/1.1", "Host: " + serverName + ":443"}},
		{"a body too large", http.StatusRequestEntityTooLarge, []string{"POST / HTTP/1.1", "Host: " + serverName, "Content-Length: 65537"}},
		{"a token of 8 KiB", http.StatusOK, []string{"GET / HTTP/1.1", "Host: " + serverName, "Authorization: Bearer " + strings.Repeat("x", 8<<10)}},
	} {
		resp, _, err := s.request(addr, serverName, "", tt.lines...)
		if err != nil || resp.StatusCode != tt.want {
			s.t.Errorf("%s: got %v, %v, want %d", tt.name, resp, err, tt.want)
		}
	}
}
