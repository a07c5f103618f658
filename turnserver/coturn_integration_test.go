//go:build integration

package turnserver

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// coturn runs one of coturn's tools and returns all it prints. What they exit with says little: 0 with all packets
// lost, for one.
func coturn(t *testing.T, tool string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Fatalf("%s is missing: install the package coturn", tool)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if ctx.Err() != nil {
		t.Errorf("%s %s does not end: %v\n%s", tool, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// uclient relays through ts with coturn's client.
func uclient(t *testing.T, ts *testServer, args ...string) string {
	t.Helper()
	at := ts.Addrs()[0]
	return coturn(t, "turnutils_uclient", append(args, "-p", fmt.Sprint(at.Port()), "-u", "alice", at.Addr().String())...)
}

// echo sends back what it gets until the test ends.
func (p *peer) echo() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1<<16)
		for {
			n, from, err := p.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			p.WriteToUDPAddrPort(buffer[:n], from) // a lost one is seen by the client
		}
	}()
	p.t.Cleanup(func() { p.Close(); <-done })
}

var (
	totals = regexp.MustCompile(`tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`)
	lost   = regexp.MustCompile(`Total lost packets (\d+) .*total send dropped (\d+)`)
)

// wantAll checks that all messages came back.
func wantAll(t *testing.T, out string, messages int) {
	t.Helper()
	all := totals.FindAllStringSubmatch(out, -1)
	l := lost.FindStringSubmatch(out)
	if len(all) == 0 || l == nil {
		t.Fatalf("uclient printed no totals:\n%s", out)
	}
	sent, received := all[len(all)-1][1], all[len(all)-1][2]
	if want := fmt.Sprint(messages); sent != want || received != want || l[1] != "0" || l[2] != "0" {
		t.Errorf("uclient: sent %s, received %s, lost %s, dropped %s, want %s and none lost:\n%s", sent, received, l[1], l[2], want, out)
	}
}

func TestCoturnClient(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, args string }{
		{"channels", ""},
		{"indications", "-s"},
		{"channels, long messages", "-l 1400"},
		{"indications, long messages", "-s -l 1400"},
		{"extra requests", "-G"},
	}
	ts := newTestServer(t, withAllow(t, "127.0.0.2/32"))
	p := newPeer(t, "127.0.0.2")
	p.echo()
	secret := strings.Repeat("1", 32) // of testConfig
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := append(strings.Fields(tt.args), "-c", "-W", secret, "-e", "127.0.0.2", "-r", fmt.Sprint(p.addr.Port()), "-m", "4", "-n", "50", "-z", "5")
			wantAll(t, uclient(t, ts, args...), 200)
		})
	}
}

// Clients that are each other's peers need no allowed peer.
func TestCoturnClientToClient(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, nil)
	for _, flag := range []string{"", "-s"} {
		t.Run("flag "+flag, func(t *testing.T) {
			t.Parallel()
			args := append(strings.Fields(flag), "-y", "-c", "-W", strings.Repeat("1", 32), "-m", "4", "-n", "50", "-z", "5")
			wantAll(t, uclient(t, ts, args...), 200)
		})
	}
}

func TestCoturnClientRefused(t *testing.T) {
	ts := newTestServer(t, nil)
	good, wrong := strings.Repeat("1", 32), strings.Repeat("x", 32)
	tests := []struct{ name, args, secret, peer, want string }{
		{"wrong secret", "", wrong, "127.0.0.2", "error 40"},
		{"loopback", "", good, "127.0.0.2", "channel bind: error 40"},
		{"private", "", good, "10.0.0.1", "channel bind: error 40"},
		{"metadata", "", good, "169.254.169.254", "channel bind: error 40"},
		{"private, indications", "-s", good, "10.0.0.1", "create permission error"},
	}
	for _, tt := range tests {
		args := append(strings.Fields(tt.args), "-c", "-W", tt.secret, "-e", tt.peer, "-n", "5")
		if out := uclient(t, ts, args...); !strings.Contains(out, tt.want) || totals.MatchString(out) {
			t.Errorf("%s: want %q and nothing relayed:\n%s", tt.name, tt.want, out)
		}
	}
}

func TestCoturnSTUN(t *testing.T) {
	ts := newTestServer(t, nil)
	at := ts.Addrs()[0]
	out := coturn(t, "turnutils_stunclient", "-p", fmt.Sprint(at.Port()), at.Addr().String())
	if !regexp.MustCompile(`UDP reflexive addr: 127\.0\.0\.1:\d+`).MatchString(out) {
		t.Errorf("stunclient: got no address:\n%s", out)
	}
}
