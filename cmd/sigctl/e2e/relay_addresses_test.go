//go:build integration

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// Whoever comes to the relay through a proxy of its machine, which dials 127.0.0.1, gets a relayed address that peers on
// other machines reach, and that reaches them.
func TestRelayBehindProxy(t *testing.T) {
	needProgram(t, "nginx", "nginx, and libnginx-mod-stream")
	needProgram(t, "haproxy", "haproxy")
	for _, tt := range proxies {
		if !strings.Contains(tt.config, "passthrough") { // the others end TLS, and speak HTTP alone
			continue
		}
		t.Run(tt.config, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			file, _ := secretFile(t)
			s := n.serveBehind(t, tt.config, tt.run, "--share-port", "--turn-secret", "file:"+file, "--turn-allow-peer", subnets["user1"]+".0/24")
			n.wantRelayed(s.process, "turns:"+proxiedName+":443?transport=tcp", "--secret", "file:"+file, "--ca", s.caFile())
		})
	}
}

// haproxyTURN is a proxy in front of the relay's port for TCP.
const haproxyTURN = `
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend turn
    bind :80
    default_backend relay
backend relay
    server relay 127.0.0.1:3478 send-proxy-v2
`

// So does who comes through a proxy to a relay that stands alone.
func TestRelayAloneBehindProxy(t *testing.T) {
	t.Parallel()
	needProgram(t, "haproxy", "haproxy")
	n := newNetwork(t)
	n.ip("serve", "link set lo up")
	file, _ := secretFile(t)
	relay := start(t, "turn", append(n.on("serve"), sigctl, "turn", "--data", newDataDir(t), "--secret", "file:"+file,
		"--trusted-proxy", "127.0.0.1/32", "--proxy-protocol", "--allow-peer", subnets["user1"]+".0/24"))
	relay.await(relay.out, `^\{.*\}$`)
	config := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(config, []byte(haproxyTURN), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := start(t, "haproxy", append(n.on("serve"), "haproxy", "-db", "-f", config))
	t.Cleanup(func() {
		proxy.cmd.Process.Signal(syscall.SIGTERM)
		proxy.wait()
	})
	until(t, "the proxy listens", func() bool {
		return run(t, "ss", append(n.on("serve"), "ss", "-Hltn", "sport = :80")).out.all() != ""
	})
	n.wantRelayed(relay, "turn:"+serverName+":80?transport=tcp", "--secret", "file:"+file)
}

// wantRelayed exchanges packets between a client of a relay and a peer, which the relay reaches by the network alone.
func (n *network) wantRelayed(relay *process, url string, args ...string) {
	n.t.Helper()
	argv := append(n.on("user1"), sigctl, "bench", "turn", "--json", "--server", url, "--peer-address", subnets["user1"]+".2",
		"--allocations", "2", "--direction", "both", "--rate", "200", "--warmup", "0s", "--duration", "1s")
	p := run(n.t, "bench turn", append(argv, args...))
	p.wantExit(0)
	var got struct{ Sent, Received uint64 }
	if err := json.Unmarshal([]byte(p.out.all()), &got); err != nil {
		n.t.Fatalf("%s: %v", p.out.all(), err)
	}
	if got.Received == 0 || got.Received < got.Sent*3/4 { // each way alone is half
		n.t.Errorf("%d of %d packets came through the relay, want all", got.Received, got.Sent)
	}
	for range 2 {
		at := relay.wantStatus(`msg=allocation .* client=` + regexp.QuoteMeta(subnets["user1"]) + `\.2:\d+ .* relay=(\S+):\d+`)[1]
		if want := subnets["serve"] + ".2"; at != want {
			n.t.Errorf("a client is relayed at %s, want %s", at, want)
		}
	}
}

// An IPv6 address that cannot be bound yet, since its machine still asks whether another one has it, keeps no server from
// starting: it serves at all others, and says so.
func TestTentativeAddress(t *testing.T) {
	t.Parallel()
	const tentative = "2001:db8:77::2"
	n := newNetwork(t)
	n.exec("serve", "sh", "-c", "echo 1000 > /proc/sys/net/ipv6/conf/eth0/dad_transmits") // a second each: longer than the test
	n.ip("serve", "address add "+tentative+"/64 dev eth0")
	s := n.serve(t, "--public-host", serverName)
	log := s.err.all()
	for _, transport := range []string{"UDP", "DTLS"} {
		if !strings.Contains(log, " addr="+tentative+" transport="+transport+" ") {
			t.Errorf("no line of the log names %s and %s", tentative, transport)
		}
	}
	file, _ := secretFile(t)
	relay := start(t, "turn", append(n.on("serve"), sigctl, "turn", "--data", newDataDir(t), "--secret", "file:"+file,
		"--listen", "["+tentative+"]:3479"))
	relay.wantExit(2)
	if !strings.Contains(relay.err.all(), tentative) {
		t.Errorf("the error does not name %s, at which it was told to listen", tentative)
	}
	talk(t, n.chat(s, "wss://"+serverName+":9090", "user1", "--relay"), n.chat(s, "wss://"+serverName+":9090", "user2", "--relay", "--call", "user1"), "relay")
}
