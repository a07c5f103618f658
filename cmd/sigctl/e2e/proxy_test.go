//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// proxies are the configurations in deploy, and what runs each of them, unchanged.
var proxies = []struct{ config, run string }{
	{"nginx/termination.conf", runNginx},
	{"nginx/passthrough.conf", runNginx},
	{"haproxy/termination.cfg", "exec haproxy -db -f $CONFIG"},
	{"haproxy/passthrough.cfg", "exec haproxy -db -f $CONFIG"},
}

// runNginx gives what it writes file systems of its own, which end with it.
const runNginx = `set -e
for dir in /run /var/log/nginx /var/lib/nginx; do mount -t tmpfs tmpfs $dir; done
exec nginx -c $CONFIG -g 'daemon off;'`

// proxiedName is the server's name in the configurations.
const proxiedName = "signal.example.com"

// A call through each proxy, with sigctl started as the head of the configuration
// says. Whatever clients say of themselves, the record tells their own addresses.
func TestBehindProxy(t *testing.T) {
	needProgram(t, "nginx", "nginx, and libnginx-mod-stream")
	needProgram(t, "haproxy", "haproxy")
	for _, tt := range proxies {
		t.Run(tt.config, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			s := n.serveBehind(t, tt.config, tt.run)
			user1 := n.chat(s, "wss://"+proxiedName, "user1")
			user2 := n.chat(s, "wss://"+proxiedName, "user2", "--call", "user1", "--relay")
			user1.wantPath("relay")
			user2.wantPath("relay")
			user2.says("hello")
			user1.wantLine("user2: hello")
			user2.saysNoMore()
			user2.wantExit(0)
			n.forge(s, "https://"+proxiedName)
			s.wantAddresses(1)
		})
	}
}

// Without a proxy between, who comes from an address that is not trusted is who it
// comes from, and who is trusted has to send the header.
func TestTrustedProxy(t *testing.T) {
	t.Parallel()
	const url = "https://" + serverName + ":9090"
	const refused = "\n000"
	for _, tt := range []struct {
		name          string
		args          []string
		plain, header string // what comes of a request without and with a PROXY header
	}{
		{"another header", []string{"--trusted-proxy", "127.0.0.1/32"}, "OK\n200", refused},
		{"another PROXY header", []string{"--trusted-proxy", "127.0.0.1/32", "--proxy-protocol"}, "OK\n200", refused},
		{"PROXY header", []string{"--trusted-proxy", subnets["user1"] + ".0/24", "--proxy-protocol"}, refused, "OK\n200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			s := n.serve(t, append(tt.args, "--public-host", serverName)...)
			if got := n.curl(s, "user1", url+"/healthz"); got != tt.plain {
				t.Errorf("without a PROXY header: got %q, want %q", got, tt.plain)
			}
			if got := n.curl(s, "user1", url+"/healthz", "--haproxy-protocol"); got != tt.header {
				t.Errorf("with a PROXY header: got %q, want %q", got, tt.header)
			}
			if tt.plain != refused {
				n.forge(s, url)
				s.wantAddresses(0)
			}
		})
	}
}

// serveBehind starts a server and its proxy, with args beside those of the configuration's head.
func (n *network) serveBehind(t *testing.T, config, run string, args ...string) *server {
	t.Helper()
	n.ip("serve", "link set lo up")
	for _, user := range []string{"user1", "user2"} {
		n.name(user, proxiedName)
	}
	dir, data := t.TempDir(), newDataDir(t)
	text := install(t, dir, data, config)
	argv := slices.Concat(n.on("serve"), []string{sigctl}, commandLine(t, text), []string{"--data", data, "--demo"}, args)
	s := waitServing(t, start(t, "serve", argv, inDir(dir)), data)

	proxy := start(t, config, append(n.on("serve"), "sh", "-c", run), withEnv("CONFIG="+filepath.Join(dir, filepath.Base(config))))
	t.Cleanup(func() { // a proxy that is killed leaves its workers
		proxy.cmd.Process.Signal(syscall.SIGTERM)
		proxy.wait()
	})
	until(t, "the proxy answers", func() bool { return n.curl(s, "user1", "https://"+proxiedName+"/healthz") == "OK\n200" })
	return s
}

// name makes a name of the server known on a machine.
func (n *network) name(machine, name string) {
	n.t.Helper()
	hosts, err := os.OpenFile(filepath.Join("/etc/netns", n.prefix+machine, "hosts"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	defer hosts.Close()
	fmt.Fprintf(hosts, "%s.2 %s\n", subnets["serve"], name)
}

func inDir(dir string) option { return func(c *exec.Cmd) { c.Dir = dir } }

// install copies a configuration to dir, with a certificate of the data directory's
// CA as it expects it. It returns the configuration's text.
func install(t *testing.T, dir, data, config string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../deploy", config))
	if err != nil {
		t.Fatal(err)
	}
	cert := filepath.Join(dir, proxiedName+".pem")
	run(t, "cert", []string{sigctl, "--data", data, "cert", "server", proxiedName, "--out", cert}).wantExit(0)
	if err := os.Link(cert, filepath.Join(dir, proxiedName+".key")); err != nil { // the key is in it
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, filepath.Base(config)), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// commandLine returns the arguments of sigctl in the head of a configuration.
func commandLine(t *testing.T, config string) []string {
	t.Helper()
	match := regexp.MustCompile(`(?s)\n#   sigctl (serve .*?)\n#\n`).FindStringSubmatch(config)
	if match == nil {
		t.Fatalf("no command line in the head of:\n%s", config)
	}
	return strings.Fields(strings.NewReplacer("#", "", "\\\n", "").Replace(match[1]))
}

// curl asks the server from a machine.
func (n *network) curl(s *server, machine, url string, args ...string) string {
	n.t.Helper()
	argv := append(n.on(machine), needProgram(n.t, "curl", "curl"), "--silent", "--cacert", s.caFile(),
		"--write-out", "\n%{http_code}", url)
	return run(n.t, "curl "+url, append(argv, args...)).out.all()
}

// forge guesses passwords from the machine of user1, each time as somebody else,
// until it is told to wait; the machine of user2 need not.
func (n *network) forge(s *server, url string) {
	n.t.Helper()
	guess := func(machine string, i int) string {
		forged := fmt.Sprintf("6.6.6.%d", i)
		return n.curl(s, machine, url+"/api/login", "--json", fmt.Sprintf(`{"name":"nobody%d","password":"wrong"}`, i),
			"--header", "X-Forwarded-For: "+forged, "--header", "X-Forwarded-For: 127.0.0.1",
			"--header", "Forwarded: for="+forged, "--header", "X-Real-IP: "+forged)
	}
	const free = 10 // wrong passwords before the first delay, which is short: a slow machine needs some more
	for i := 0; ; i++ {
		got := guess("user1", i)
		if i >= free && strings.Contains(got, "rate_limited") {
			break
		}
		if i == 2*free || !strings.Contains(got, "bad_credentials") {
			n.t.Fatalf("wrong password %d: %s, want bad_credentials %d times, then rate_limited", i+1, got, free)
		}
	}
	if got := guess("user2", 99); !strings.Contains(got, "bad_credentials") {
		n.t.Errorf("wrong password from another address: %s, want bad_credentials", got)
	}
}

// wantAddresses checks that the record has the clients' own addresses alone, and
// what they did: each signed in a number of times, and forged.
func (s *server) wantAddresses(signedIn int) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.data, "audit.jsonl"))
	if err != nil {
		s.t.Fatal(err)
	}
	address1, address2 := subnets["user1"]+".2", subnets["user2"]+".2"
	logins := map[string]int{} // by outcome, kind of user and address
	for line := range strings.Lines(string(text)) {
		var e struct{ Event, Outcome, User, Address string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		if e.Address != "" && e.Address != address1 && e.Address != address2 {
			s.t.Errorf("an address that is no client's: %s", line)
		}
		if e.Event == "login" {
			logins[e.Outcome+" "+strings.TrimRight(e.User, "0123456789")+" "+e.Address]++
		}
	}
	for login, least := range map[string]int{
		"ok user " + address1: signedIn, "refused nobody " + address1: 10,
		"ok user " + address2: signedIn, "refused nobody " + address2: 1,
	} {
		if logins[login] < least {
			s.t.Errorf("%d logins %q in the record, want %d or more: %v", logins[login], login, least, logins)
		}
	}
	if strings.Contains(s.err.all(), "6.6.6.") {
		s.t.Error("a forged address is in the server's log")
	}
}
