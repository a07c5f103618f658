//go:build integration

package turnserver

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// coturn runs one of coturn's tools and returns all it prints. What they exit with says little: 0 with all packets
// lost, for one.
func coturn(t *testing.T, tool string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Errorf("%s is missing: install the package coturn", tool)
		return ""
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if ctx.Err() != nil {
		t.Errorf("%s %s does not end: %v\n%s", tool, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// uclient relays through ts over a transport with coturn's client.
func uclient(t *testing.T, ts *testServer, transport Transport, args ...string) string {
	t.Helper()
	at := ts.Addrs(transport)[0]
	args = append(args, map[Transport][]string{TCP: {"-t"}, TLS: {"-t", "-S"}, DTLS: {"-S"}}[transport]...)
	return coturn(t, "turnutils_uclient", append(args, "-p", fmt.Sprint(at.Port()), at.Addr().String())...)
}

// newPeerPair returns peers at two ports in a row, as the client uses them for RTP and RTCP.
func newPeerPair(t *testing.T, ip string) (rtp, rtcp *peer) {
	t.Helper()
	for {
		rtp := newPeer(t, ip)
		next := netip.AddrPortFrom(rtp.addr.Addr(), rtp.addr.Port()+1)
		conn, err := occupy(next)
		if err != nil {
			continue
		}
		t.Cleanup(func() { conn.Close() })
		return rtp, &peer{conn, t, next}
	}
}

var (
	totals = regexp.MustCompile(`tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`)
	lost   = regexp.MustCompile(`Total lost packets (\d+) .*total send dropped (\d+)`)
)

// wantAll checks that all messages came back.
func wantAll(t *testing.T, name, out string, messages int) {
	t.Helper()
	all := totals.FindAllStringSubmatch(out, -1)
	l := lost.FindStringSubmatch(out)
	if len(all) == 0 || l == nil {
		t.Errorf("%s: uclient printed no totals:\n%s", name, out)
		return
	}
	sent, received := all[len(all)-1][1], all[len(all)-1][2]
	if want := fmt.Sprint(messages); sent != want || received != want || l[1] != "0" || l[2] != "0" {
		t.Errorf("%s: uclient sent %s, received %s, lost %s, dropped %s, want %s and none lost:\n%s", name, sent, received, l[1], l[2], want, out)
	}
}

// coturnTests are what coturn's client can be asked to do, with its flags.
var coturnTests = []struct{ name, args string }{
	{"channels", "-c"},
	{"indications", "-c -s"},
	{"channels, long messages", "-c -l 1400"},
	{"indications, long messages", "-c -s -l 1400"},
	{"extra requests", "-c -G"},
	{"padded channels", "-c -D -l 101"},
	{"pairs of ports for RTP and RTCP", ""},
}

// Whatever coturn's client asks for, over every transport, nothing is lost. Each client has peers of its own, and all the
// messages together fit in the buffers of any socket that they pass: none is lost to a process that has to wait for its turn.
func TestCoturnClient(t *testing.T) {
	t.Parallel()
	const clients, messages = 8, 10
	ts := newTestServer(t, withTLS(t, func(cfg *Config) { everywhere(cfg); forCoturn(cfg); cfg.Allow = allow(t, "127.0.0.2/32") }))
	var running sync.WaitGroup
	queue := make(chan func(peers []string))
	for range clients { // they wait most of the time
		rtp, rtcp := newPeerPair(t, "127.0.0.2")
		rtp.echo()
		rtcp.echo()
		running.Go(func() {
			for run := range queue {
				run([]string{"-e", "127.0.0.2", "-r", fmt.Sprint(rtp.addr.Port())})
			}
		})
	}
	relay := func(transport Transport, name, flags string, credential []string) {
		queue <- func(peers []string) {
			args := append(strings.Fields(flags), "-m", "2", "-n", fmt.Sprint(messages), "-z", "5")
			out := uclient(t, ts, transport, slices.Concat(args, peers, credential)...)
			wantAll(t, fmt.Sprintf("%v, %s", transport, name), out, 2*messages)
		}
	}
	for _, transport := range overAll {
		for _, tt := range coturnTests {
			relay(transport, tt.name, tt.args, asAlice)
		}
		relay(transport, "static user", "-c", []string{"-u", "static", "-w", "password"})
	}
	close(queue)
	running.Wait()
}

// forCoturn takes the channel numbers that coturn's client draws, three quarters of which RFC 8656 does not know, and all its
// clients of one user.
func forCoturn(cfg *Config) { cfg.OldChannels, cfg.UserQuota = true, 1000 }

// asAlice are the flags for a time-limited credential of testConfig's first secret.
var asAlice = []string{"-u", "alice", "-W", strings.Repeat("1", 32)}

// Clients that are each other's peers need no allowed peer.
func TestCoturnClientToClient(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, withTLS(t, func(cfg *Config) { everywhere(cfg); forCoturn(cfg) }))
	for _, transport := range overAll {
		for _, flag := range []string{"", "-s"} {
			t.Run(transport.String()+" "+flag, func(t *testing.T) {
				t.Parallel()
				args := append(strings.Fields(flag), "-y", "-c", "-m", "4", "-n", "50", "-z", "5")
				wantAll(t, "", uclient(t, ts, transport, append(args, asAlice...)...), 200)
			})
		}
	}
}

// An IPv6 address is given where there is one, and refused where not: never a false success.
func TestCoturnClientIPv6(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "::1")
	p.echo()
	both := newTestServer(t, func(cfg *Config) {
		forCoturn(cfg)
		cfg.Listen, cfg.Allow = []string{"127.0.0.1:0", "[::1]:0"}, allow(t, "::1/128")
	})
	args := append([]string{"-x", "-c", "-n", "50", "-z", "5", "-m", "4"}, asAlice...)
	echoed := append([]string{"-e", "::1", "-r", fmt.Sprint(p.addr.Port())}, args...)
	wantAll(t, "UDP", uclient(t, both, UDP, echoed...), 200)
	wantAll(t, "TCP", uclient(t, both, TCP, append([]string{"-y"}, args...)...), 200)
	at := both.Addrs(UDP)[1]
	wantAll(t, "client over IPv6", coturn(t, "turnutils_uclient", append(echoed, "-p", fmt.Sprint(at.Port()), at.Addr().String())...), 200)

	out := uclient(t, newTestServer(t, nil), UDP, echoed...)
	if !strings.Contains(out, "error 440") || totals.MatchString(out) {
		t.Errorf("a server without IPv6: want error 440 and nothing relayed:\n%s", out)
	}
}

func TestCoturnClientRefused(t *testing.T) {
	ts := newTestServer(t, forCoturn)
	good, wrong := strings.Repeat("1", 32), strings.Repeat("x", 32)
	tests := []struct{ name, args, secret, peer, want string }{
		{"wrong secret", "", wrong, "127.0.0.2", "Cannot complete Allocation"},
		{"loopback", "", good, "127.0.0.2", "channel bind: error 40"},
		{"private", "", good, "10.0.0.1", "channel bind: error 40"},
		{"metadata", "", good, "169.254.169.254", "channel bind: error 40"},
		{"private, indications", "-s", good, "10.0.0.1", "create permission error"},
	}
	for _, tt := range tests {
		args := append(strings.Fields(tt.args), "-c", "-u", "alice", "-W", tt.secret, "-e", tt.peer, "-n", "5")
		if out := uclient(t, ts, UDP, args...); !strings.Contains(out, tt.want) || totals.MatchString(out) {
			t.Errorf("%s: want %q and nothing relayed:\n%s", tt.name, tt.want, out)
		}
	}
}

func TestCoturnSTUN(t *testing.T) {
	ts := newTestServer(t, nil)
	at := ts.Addrs(UDP)[0]
	out := coturn(t, "turnutils_stunclient", "-p", fmt.Sprint(at.Port()), at.Addr().String())
	if !regexp.MustCompile(`UDP reflexive addr: 127\.0\.0\.1:\d+`).MatchString(out) {
		t.Errorf("stunclient: got no address:\n%s", out)
	}
}
