//go:build integration

package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// talk lets two people who are calling say hello, and hang up.
func talk(t *testing.T, user1, user2 *process, path string) {
	t.Helper()
	if code1, code2 := user1.wantPath(path), user2.wantPath(path); code1 != code2 {
		t.Errorf("safety codes differ: %s and %s", code1, code2)
	}
	user2.says("hello")
	user1.wantLine("user2: hello")
	user1.says("hello yourself")
	user2.wantLine("user1: hello yourself")
	user1.saysNoMore()
	user2.saysNoMore()
	user2.wantExit(0)
	user1.wantStatus("^Call with user2 ended")
	user1.wantExit(0)
}

// A call goes through a relay that stands alone over each transport, TLS with a certificate of the development CA.
func TestRelayTransports(t *testing.T) {
	t.Parallel()
	data := newDataDir(t)
	certificate := data + "/relay.pem"
	run(t, "cert", []string{sigctl, "--data", data, "cert", "server", "127.0.0.1", "--out", certificate}).wantExit(0)
	file, _ := secretFile(t)
	r := startTURN(t, "--secret", "file:"+file, "--cert", certificate, "--key", certificate,
		"--tls-listen", "127.0.0.1:0", "--dtls-listen", "127.0.0.1:0")
	for _, url := range r.entry.URLs {
		if strings.HasPrefix(url, "stun:") {
			continue
		}
		_, name, _ := strings.Cut(url, "=")
		t.Run(strings.SplitN(url, ":", 2)[0]+" "+name, func(t *testing.T) {
			s := serveIn(t, data, []string{"--demo", "--turn", "off", "--ice-server", url, "--turn-secret", "file:" + file})
			opened := strings.Count(r.err.all(), "msg=allocation")
			talk(t, s.chat("user1", "--relay"), s.chat("user2", "--relay", "--call", "user1"), "relay")
			if n := strings.Count(r.err.all(), "msg=allocation") - opened; n < 2 {
				t.Errorf("%d allocations are logged, want one for each", n)
			}
			s.signal(syscall.SIGINT)
			s.wantExit(0)
		})
	}
}

// Where UDP is blocked a call goes by itself through the relay over TLS at port 443, be it the relay's own or the one of HTTPS.
func TestUDPBlocked(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.ip("router", "rule add ipproto udp blackhole")
	for _, tt := range []struct {
		name, url string
		serve     []string
	}{
		{"port of its own", "wss://" + serverName + ":9090", []string{"--turn-tls-listen", ":5349,:443"}},
		{"port of HTTPS", "wss://" + serverName, []string{"--listen", ":443", "--share-port"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := n.serve(t, append(tt.serve, "--public-host", serverName)...)
			for _, port := range []string{"3478", "5349"} { // as a firewall that lets the web pass
				n.ip("router", "rule add ipproto tcp dport "+port+" blackhole")
				defer n.ip("router", "rule delete ipproto tcp dport "+port+" blackhole")
			}
			user1 := n.chat(s, tt.url, "user1")
			began := time.Now()
			user2 := n.chat(s, tt.url, "user2", "--call", "user1")
			talk(t, user1, user2, "relay")
			if got := strings.Count(s.err.all(), "transport=TLS"); got < 2 {
				t.Errorf("%d allocations over TLS are logged, want one for each", got)
			}
			t.Logf("signed in, called, talked and hung up in %v", time.Since(began))
			s.signal(syscall.SIGINT)
			s.wantExit(0)
		})
	}
}

// A page whose browser may use TURN over TLS alone relays through the port that HTTPS has.
func TestPageRelaysOverTLS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"port of its own", nil},
		{"port of HTTPS", []string{"--share-port", "--turn-tls-listen", ""}},
	} {
		s := serveForBrowser(t, append([]string{"--demo"}, tt.args...)...)
		only := `for (const s of iceServers) s.urls = s.urls.filter((url) => url.startsWith("turns:"));
iceServers.splice(0, iceServers.length, ...iceServers.filter((s) => s.urls.length));
const [one, two]`
		body := strings.Replace(relayedPair, "const [one, two]", only, 1)
		got := script[struct{ Heard, Local, Remote, URL string }](s.page("user1"), body)
		if got.Heard != "hello through the relay" || got.Local != "relay" || got.Remote != "relay" || !strings.HasPrefix(got.URL, "turns:") {
			t.Errorf("%s: got %+v, want the message over two relay candidates by turns:", tt.name, got)
		}
	}
}
