//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A demo is for its machine: all its sockets, those of relayed addresses included, and all that its
// clients are told are on loopback. There it works, for a relay and for a peer that is not one.
func TestDemoIsForThisMachine(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.ip("serve", "link set lo up")
	file, _ := secretFile(t)
	s := n.demo(t, "--turn-secret", "file:"+file)
	s.wantListeners("127.0.0.1", "::1")
	for line := range strings.Lines(s.err.all()) {
		if at := regexp.MustCompile(`^  ICE +\w+:(\S+):\d+`).FindStringSubmatch(line); at != nil && at[1] != "127.0.0.1" {
			t.Errorf("clients are told of %s", at[1])
		}
	}
	if !strings.Contains(s.err.all(), "for this machine only") {
		t.Error("serve does not print that others cannot connect")
	}
	n.wantUnreachable("user1", subnets["serve"]+".2:9090")

	user1 := n.chatBeside(s, "wss://127.0.0.1:9090", "user1", "--relay")
	user2 := n.chatBeside(s, "wss://[::1]:9090", "user2", "--relay", "--call", "user1")
	user1.wantPath("relay")
	user2.wantPath("relay")
	s.wantLoopback()
	for range 2 {
		s.wantStatus(`msg=allocation .* relay=127\.0\.0\.1:\d+`)
	}
	until(t, "a packet reaches a peer on loopback", func() bool { // a slow machine is late at times
		return n.relayedToLoopback(file, "127.0.0.1:3478") > 0
	})
}

// A machine may have no IPv6.
func TestDemoWithoutIPv6(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.exec("serve", "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
	n.ip("serve", "link set lo up")
	n.demo(t).wantListeners("127.0.0.1")
}

// Where others can connect to a demo, its relay does not reach the services of its machine that
// listen on loopback.
func TestDemoForOthers(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.ip("serve", "link set lo up")
	file, _ := secretFile(t)
	for name, args := range map[string][]string{
		"listen":  {"--listen", ":9090"},
		"address": {"--listen", subnets["serve"] + ".2:9090"},
		"relay":   {"--turn-listen", ":3478"},
		"proxy":   {"--trusted-proxy", "127.0.0.1/32"},
	} {
		t.Run(name, func(t *testing.T) {
			s := n.demo(t, append(args, "--turn-secret", "file:"+file)...)
			if got := n.relayedToLoopback(file, subnets["serve"]+".2:3478"); got != 0 {
				t.Errorf("%d packets reached a peer on loopback, want none", got)
			}
			s.signal(os.Interrupt)
			s.wantExit(0)
		})
	}
}

// demo starts `serve --demo` on its machine, with the default ports.
func (n *network) demo(t *testing.T, args ...string) *server {
	t.Helper()
	data := newDataDir(t)
	argv := append(n.on("serve"), sigctl, "serve", "--demo", "--data", data)
	return waitServing(t, start(t, "serve", append(argv, args...)), data)
}

// chatBeside starts a chat on the server's machine.
func (n *network) chatBeside(s *server, url, user string, args ...string) *process {
	s.t.Helper()
	argv := append(n.on("serve"), sigctl, "chat", "--data", s.data, "--server", url, "--user", user)
	p := start(s.t, user, append(argv, args...), withEnv("SIGCTL_PASSWORD="+s.passwords[user]))
	p.wantStatus("^Signed in as " + user)
	return p
}

// relayedToLoopback sends packets through a relay to a peer at 127.0.0.1 of the server's machine, and
// returns how many reach it.
func (n *network) relayedToLoopback(secret, relay string) uint64 {
	n.t.Helper()
	p := run(n.t, "bench turn", append(n.on("serve"), sigctl, "bench", "turn", "--json", "--server", "turn:"+relay, "--secret", "file:"+secret,
		"--peer-address", "127.0.0.1", "--allocations", "1", "--direction", "up", "--rate", "100", "--warmup", "0s", "--duration", "200ms"))
	p.wantExit(0)
	var got struct{ Sent, Received uint64 }
	if err := json.Unmarshal([]byte(p.out.all()), &got); err != nil || got.Sent == 0 {
		n.t.Fatalf("%s: %v", p.out.all(), err)
	}
	return got.Received
}

func (n *network) wantUnreachable(machine, address string) {
	n.t.Helper()
	p := run(n.t, "curl", append(n.on(machine), needProgram(n.t, "curl", "curl"), "--insecure", "--silent", "https://"+address))
	const refused = 7
	p.wantExit(refused)
}

// wantListeners checks that the server has its four ports at each address, and no socket elsewhere.
func (s *server) wantListeners(ips ...string) {
	s.t.Helper()
	s.wantLoopback()
	sockets := s.sockets()
	for _, ip := range ips {
		for _, port := range []uint16{9090, 3478, 5349} {
			if at := netip.AddrPortFrom(netip.MustParseAddr(ip), port); !slices.Contains(sockets, at) {
				s.t.Errorf("nobody listens on %v", at)
			}
		}
	}
}

// wantLoopback checks that no socket of the server is at an address that others reach.
func (s *server) wantLoopback() {
	s.t.Helper()
	for _, at := range s.sockets() {
		if !at.Addr().IsLoopback() {
			s.t.Errorf("a socket is at %v", at)
		}
	}
}

// sockets returns where the process's TCP and UDP sockets are.
func (p *process) sockets() (list []netip.AddrPort) {
	p.t.Helper()
	proc := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	inodes := p.inodes(proc)
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, err := os.ReadFile(proc + "net/" + table)
		if os.IsNotExist(err) { // no IPv6
			continue
		} else if err != nil {
			p.t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			const local, inode = 1, 9 // see proc_net_tcp.rst of Linux
			if fields := strings.Fields(line); len(fields) > inode && inodes[fields[inode]] {
				list = append(list, p.parseSocket(fields[local]))
			}
		}
	}
	if len(list) == 0 {
		p.t.Error("the process has no sockets")
	}
	return list
}

// inodes returns those of the process's open sockets.
func (p *process) inodes(proc string) map[string]bool {
	p.t.Helper()
	files, err := filepath.Glob(proc + "fd/*")
	if err != nil {
		p.t.Fatal(err)
	}
	inodes := map[string]bool{}
	for _, file := range files {
		to, _ := os.Readlink(file) // closed by now, if it fails
		if inode, ok := strings.CutPrefix(to, "socket:["); ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes
}

// parseSocket reads an address of /proc/net: hexadecimal words, each with its bytes in reverse order
// on the machines that we test on, and the port.
func (p *process) parseSocket(text string) netip.AddrPort {
	p.t.Helper()
	host, service, _ := strings.Cut(text, ":")
	port, err := strconv.ParseUint(service, 16, 16)
	if err != nil {
		p.t.Fatalf("%s: %v", text, err)
	}
	var b []byte
	for word := range slices.Chunk([]byte(host), 8) {
		n, err := strconv.ParseUint(string(word), 16, 32)
		if err != nil {
			p.t.Fatalf("%s: %v", text, err)
		}
		b = append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	}
	ip, _ := netip.AddrFromSlice(b) // 4 or 16 bytes
	return netip.AddrPortFrom(ip.Unmap(), uint16(port))
}
