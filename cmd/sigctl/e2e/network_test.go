//go:build integration

package e2e

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// network is three machines, each in a network of its own, and a router between
// them: namespaces, whose loopback interfaces stay down.
//
//	serve 10.77.1.2 ── router ── user1 172.16.77.2
//	                     └────── user2 192.168.77.2
type network struct {
	t      *testing.T
	prefix string // of the names of its namespaces
}

// subnets are private ones, as in offices and homes: nothing that the relay
// forwards to unless it is a relay itself.
var subnets = map[string]string{"serve": "10.77.1", "user1": "172.16.77", "user2": "192.168.77"}

// serverName is in the hosts file of all machines.
const serverName = "sigctl.example"

const netnsPrefix = "sigctl-e2e-"

func newNetwork(t *testing.T) *network {
	t.Helper()
	needRoot(t, "it makes network namespaces")
	needProgram(t, "ip", "iproute2")
	removeStale(t)
	n := &network{t: t, prefix: fmt.Sprintf("%s%d-%s-", netnsPrefix, os.Getpid(), rand.Text()[:6])}
	n.add("router")
	n.exec("router", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	for machine, subnet := range subnets {
		n.add(machine)
		n.command("ip", "link", "add", machine, "netns", n.prefix+"router", "type", "veth", "peer", "name", "eth0", "netns", n.prefix+machine)
		n.ip("router", "address add "+subnet+".1/24 dev "+machine)
		n.ip("router", "link set "+machine+" up")
		n.ip(machine, "address add "+subnet+".2/24 dev eth0")
		n.ip(machine, "link set eth0 up")
		n.ip(machine, "route add default via "+subnet+".1")
	}
	return n
}

// add makes a machine, without any interface but a loopback that is down.
func (n *network) add(machine string) {
	n.t.Helper()
	name := n.prefix + machine
	n.command("ip", "netns", "add", name)
	n.t.Cleanup(func() { removeNamespace(n.t, name) })
	etc := filepath.Join("/etc/netns", name)
	hosts := subnets["serve"] + ".2 " + serverName + "\n"
	if err := os.MkdirAll(etc, 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(etc, "hosts"), []byte(hosts), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// removeNamespace removes a namespace, with its interfaces and its hosts file.
func removeNamespace(t *testing.T, name string) {
	if out, err := exec.Command("ip", "netns", "delete", name).CombinedOutput(); err != nil {
		t.Errorf("ip netns delete %s: %v: %s", name, err, out)
	}
	os.RemoveAll(filepath.Join("/etc/netns", name))
	os.Remove("/etc/netns") // unless somebody else uses it
}

// removeStale removes what a run that was killed has left.
func removeStale(t *testing.T) {
	names, _ := filepath.Glob("/run/netns/" + netnsPrefix + "*")
	for _, path := range names {
		name := filepath.Base(path)
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, netnsPrefix), "-")
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			removeNamespace(t, name)
		}
	}
}

func (n *network) command(argv ...string) {
	n.t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
}

// exec runs a command on a machine.
func (n *network) exec(machine string, argv ...string) {
	n.t.Helper()
	n.command(append(n.on(machine), argv...)...)
}

func (n *network) ip(machine, args string) {
	n.t.Helper()
	n.exec(machine, append([]string{"ip"}, strings.Fields(args)...)...)
}

// on returns what runs the command behind it on a machine, as the same process.
func (n *network) on(machine string) []string {
	return []string{"ip", "netns", "exec", n.prefix + machine}
}

// serve starts the demo's server on its machine, at all addresses unless args has --listen.
func (n *network) serve(t *testing.T, args ...string) *server {
	t.Helper()
	data := newDataDir(t)
	argv := append(n.on("serve"), sigctl, "serve", "--data", data, "--demo")
	if !slices.Contains(args, "--listen") {
		argv = append(argv, "--listen", ":9090")
	}
	return waitServing(t, start(t, "serve", append(argv, args...)), data)
}

// chat starts a chat on the user's machine, which knows the server by its URL and
// its CA.
func (n *network) chat(s *server, url, user string, args ...string) *process {
	s.t.Helper()
	argv := append(n.on(user), sigctl, "chat", "--server", url, "--ca", s.caFile(), "--user", user)
	p := start(s.t, user, append(argv, args...), withEnv("SIGCTL_PASSWORD="+s.passwords[user]))
	p.wantStatus("^Signed in as " + user)
	return p
}

// block keeps the machines of the users from reaching each other, and returns what undoes that.
func (n *network) block() (unblock func()) {
	n.t.Helper()
	one, two := subnets["user1"]+".0/24", subnets["user2"]+".0/24"
	n.ip("router", "rule add from "+one+" to "+two+" blackhole")
	n.ip("router", "rule add from "+two+" to "+one+" blackhole")
	return func() {
		n.ip("router", "rule delete from "+one+" to "+two+" blackhole")
		n.ip("router", "rule delete from "+two+" to "+one+" blackhole")
	}
}

// blockRelay keeps everybody from the relay, and returns what undoes that.
func (n *network) blockRelay() (unblock func()) {
	n.t.Helper()
	var rules []string
	for _, proto := range []string{"udp", "tcp"} {
		for _, port := range []string{"3478", "5349"} {
			rules = append(rules, fmt.Sprintf("ipproto %s dport %s blackhole", proto, port))
		}
	}
	for _, rule := range rules {
		n.ip("router", "rule add "+rule)
	}
	return func() {
		for _, rule := range rules {
			n.ip("router", "rule delete "+rule)
		}
	}
}

// Where both are open the call takes what a slow machine finds first, the direct path or the relay.
func TestTwoMachines(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	for _, tt := range []struct {
		name, host string
		serve      []string
	}{
		{"by name", serverName, []string{"--public-host", serverName}},
		{"by address", subnets["serve"] + ".2", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := n.serve(t, tt.serve...)
			if want := tt.host + ":3478"; s.relay != want {
				t.Errorf("the relay is announced as %s, want %s", s.relay, want)
			}
			url := "wss://" + tt.host + ":9090"
			for _, call := range []struct {
				name, path   string
				user1, user2 []string
				block        func() (unblock func())
			}{
				{name: "all open", path: anyPath},
				{name: "no relay", path: "direct", block: n.blockRelay},
				{name: "both by relay", path: "relay", user1: []string{"--relay"}, user2: []string{"--relay"}},
				{name: "caller by relay", path: "relay", user2: []string{"--relay"}},
				{name: "callee by relay", path: "relay", user1: []string{"--relay"}},
				{name: "no direct path", path: "relay", block: n.block},
			} {
				t.Run(call.name, func(t *testing.T) {
					if call.block != nil {
						defer call.block()()
					}
					user1 := n.chat(s, url, "user1", call.user1...)
					user2 := n.chat(s, url, "user2", append(call.user2, "--call", "user1")...)
					talk(t, user1, user2, call.path)
				})
			}
		})
	}
}
