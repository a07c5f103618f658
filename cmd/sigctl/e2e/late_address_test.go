//go:build integration

package e2e

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// A server that starts before its network says that it is not ready. When the network is up, it is
// ready: it serves and relays at the addresses that have come, IPv6 ones once nobody else has them,
// and tells clients of them.
func TestServerBeforeItsNetwork(t *testing.T) {
	t.Parallel()
	const admin = "127.0.0.1:9091"
	at := subnets["serve"] + ".2"
	n := newNetwork(t)
	n.ip("serve", "link set lo up")
	n.ip("serve", "address flush dev eth0")
	s := n.serve(t, "--listen", ":9090", "--turn-listen", ":3478", "--admin-listen", admin)
	if s.relay != "127.0.0.1:3478" {
		t.Errorf("without a network the relay is announced as %s, want loopback", s.relay)
	}
	if got := n.get("serve", admin, "/readyz"); !strings.Contains(got, " 503 ") || !strings.Contains(got, "no address") {
		t.Errorf("without a network: got %s, want 503 and why", got)
	}
	n.ip("serve", "address add "+at+"/24 dev eth0")
	n.ip("serve", "route add default via "+subnets["serve"]+".1")
	n.ip("serve", "address add 2001:db8:77::2/64 dev eth0")
	for _, want := range []string{ // in whatever order
		`clients must now use other URLs .*turn:` + at + `:3478`,
		`clients are served at another address" addr=` + at + ` port=3478 transport=UDP`,
		`clients are served at another address" addr=2001:db8:77::2 port=3478 transport=UDP`,
	} {
		line := regexp.MustCompile(want)
		until(t, "serve logs "+want, func() bool { return line.MatchString(s.err.all()) })
	}
	if got := n.get("serve", admin, "/readyz"); !strings.Contains(got, " 200 ") {
		t.Errorf("with a network: got %s, want 200", got)
	}
	url := "wss://" + at + ":9090" // which the development certificate covers, too
	talk(t, n.chat(s, url, "user1", "--relay"), n.chat(s, url, "user2", "--relay", "--call", "user1"), "relay")
	n.ip("serve", "address flush dev eth0")
	until(t, "the server is not ready", func() bool { return strings.Contains(n.get("serve", admin, "/readyz"), " 503 ") })
}

// An address that the relay's machine gets later is its own: the relay forwards nothing to services
// there.
func TestLateAddressIsThisMachine(t *testing.T) {
	t.Parallel()
	const late = "9.9.7.1" // a public one, in a network of its own
	n := newNetwork(t)
	n.ip("serve", "link set lo up")
	file, _ := secretFile(t)
	relay := start(t, "turn", append(n.on("serve"), sigctl, "turn", "--data", newDataDir(t), "--secret", "file:"+file))
	relay.await(relay.out, `^\{.*\}$`)
	n.ip("serve", "address add "+late+"/24 dev eth0")
	relay.wantStatus(`clients are served at another address" addr=` + late + ` `)
	p := run(t, "bench turn", append(n.on("serve"), sigctl, "bench", "turn", "--json", "--server", "turn:"+subnets["serve"]+".2:3478",
		"--secret", "file:"+file, "--peer-address", late, "--allocations", "1", "--direction", "up", "--rate", "100", "--warmup", "0s", "--duration", "1s"))
	var got struct{ Sent, Received uint64 }
	if err := json.Unmarshal([]byte(p.out.all()), &got); err != nil {
		t.Fatalf("%s: %v", p.out.all(), err)
	}
	if got.Sent == 0 || got.Received != 0 {
		t.Errorf("%d of %d packets reached a service of the relay's machine, want none", got.Received, got.Sent)
	}
}

// get returns the answer of a server that only its own machine reaches.
func (n *network) get(machine, at, path string) string {
	n.t.Helper()
	ask := "exec 3<>/dev/tcp/" + strings.Replace(at, ":", "/", 1) + ` && printf 'GET ` + path + ` HTTP/1.0\r\n\r\n' >&3 && cat <&3`
	return run(n.t, "get "+path, append(n.on(machine), "bash", "-c", ask)).out.all()
}
