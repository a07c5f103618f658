package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/sigctl/sigctl/peer"
	"github.com/sigctl/sigctl/pkg/hostaddr"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/turncred"
)

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain ünïcödé 漢字", "plain ünïcödé 漢字"},
		{"👩‍👧", "👩‍👧"}, // a zero-width joiner
		{"\x1b[31m", "�[31m"},
		{"a\tb\nc", "a b c"},
		{"\u009b31m", "�31m"},
		{"\u202eevil\u2066", "�evil�"},
		{"\ufeff\u00ad", "��"},
		{"\u2028\u2029", "��"},
		{"\xff", "�"},
		{"\U000e0041", "�"}, // a tag
	} {
		if got := printable(c.in); got != c.want {
			t.Errorf("printable(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{usage(errors.New("x")), 2},
		{errors.Join(usage(errors.New("x")), errors.New("y")), 2},
		{fmt.Errorf("a: %w", peer.ErrAuth), 3},
		{peer.ErrOffline, 4},
		{peer.ErrBusy, 4},
		{peer.ErrRejected, 4},
		{hint(peer.ErrOffline, "h"), 4},
		{peer.ErrTimeout, 5},
		{fmt.Errorf("a: %w", context.Canceled), 130},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("exitCode(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	var b bytes.Buffer
	report(&b, errors.Join(
		usage(errors.New("one"), "type this", "or that"),
		fmt.Errorf("two: %w", errors.Join(errors.New("a"), errors.New("b\x1b"))),
	))
	want := "sigctl: one\nhint: type this\nhint: or that\nsigctl: two: a; b�\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

// No two faults of the same command line flags may be hidden by a panic or a
// flag that config show cannot print.
func TestEveryCommand(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" && !cmd.Hidden {
			t.Errorf("%s: no short description", cmd.CommandPath())
		}
		var b bytes.Buffer
		if err := showFlags(&b, cmd.Flags(), func(string) string { return "x" }); err != nil {
			t.Errorf("%s: config show: %v", cmd.CommandPath(), err)
		}
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit(newRoot(stdio{}))
}

func TestICEIssuer(t *testing.T) {
	secret, err := turncred.NewSecret("", bytes.Repeat([]byte("k"), turncred.MinKey))
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := turncred.NewSecrets(secret)
	if err != nil {
		t.Fatal(err)
	}
	urls := []string{"stun:a:3478", "turn:a:3478?transport=udp", "stun:b", "turns:c:5349"}
	list, expires := newICEIssuer(nil, urls, secrets).servers("alice")
	username := list[1].Username
	want := []protocol.ICEServer{
		{URLs: []string{"stun:a:3478", "stun:b"}},
		{URLs: []string{"turn:a:3478?transport=udp", "turns:c:5349"}, Username: username, Credential: list[1].Credential},
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("servers (-want +got):\n%s", diff)
	}
	name, passwords, err := secrets.Lookup(username, time.Now())
	if err != nil || name.User != "alice" || passwords[0] != list[1].Credential || !name.Expires.Equal(expires) {
		t.Errorf("the relay reads %+v, %v of the credential that expires at %v", name, err, expires)
	}
	if list, expires := newICEIssuer(nil, nil, secrets).servers("alice"); len(list) != 0 || !expires.IsZero() {
		t.Errorf("without servers: %v, %v", list, expires)
	}
}

func TestCheckICEURL(t *testing.T) {
	for _, good := range []string{"stun:a", "stun:a:1", "turn:[2001:db8::1]:3478", "turn:a?transport=tcp", "turns:a:443?transport=tcp"} {
		if err := checkICEURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "stun:", "http://a", "stun://a", "turn:a:port", "stun:a?transport=udp", "turn:a?x=y", "turn:user@a", "turn:a:70000"} {
		if checkICEURL(bad) == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func TestOrigins(t *testing.T) {
	for origin, want := range map[string]bool{
		"https://example.com": true, "http://localhost:*": true, "https://a:8443": true,
		"example.com": false, "https://": false, "https://a/": false, "ftp://a": false, "*": false, "": false,
	} {
		if got := isOrigin(origin); got != want {
			t.Errorf("isOrigin(%q) = %v, want %v", origin, got, want)
		}
	}
}

func TestRelayPublicHost(t *testing.T) {
	for _, c := range []struct{ listen, external, want string }{
		{"192.0.2.7:3478", "", "192.0.2.7"},
		{":3478", "203.0.113.1/10.0.0.1", "203.0.113.1"},
		{":3478", "203.0.113.1", "203.0.113.1"},
	} {
		o := &relayOptions{listen: []string{c.listen}}
		if c.external != "" {
			o.externalIPs = []string{c.external}
		}
		if got := o.publicHost(nil); got != c.want {
			t.Errorf("listen %q, external %q: got %q, want %q", c.listen, c.external, got, c.want)
		}
	}
	addresses, err := hostaddr.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer addresses.Close()
	if _, err := netip.ParseAddr((&relayOptions{listen: []string{":3478"}}).publicHost(addresses)); err != nil {
		t.Errorf("without flags: %v", err)
	}
}

// What listens at all addresses is ready if other machines can reach one of them.
func TestReachable(t *testing.T) {
	alone := []hostaddr.Address{
		{Prefix: netip.MustParsePrefix("127.0.0.1/8")}, {Prefix: netip.MustParsePrefix("::1/128")},
		{Prefix: netip.MustParsePrefix("fe80::1/64")}, {Prefix: netip.MustParsePrefix("2600::1/64"), Tentative: true},
	}
	others := append([]hostaddr.Address{{Prefix: netip.MustParsePrefix("10.0.0.1/8")}}, alone...)
	for _, wildcard := range []string{":3478", "0.0.0.0:3478", "[::]:3478"} {
		if err := reachable(alone, "127.0.0.1:9090", wildcard); err == nil {
			t.Errorf("%s with loopback alone: no error", wildcard)
		}
		if err := reachable(others, wildcard); err != nil {
			t.Errorf("%s with another address: %v", wildcard, err)
		}
	}
	if err := reachable(alone, "127.0.0.1:9090", "[::1]:3478"); err != nil {
		t.Errorf("listening at loopback: %v", err)
	}
}

func TestOneLinePassword(t *testing.T) {
	for _, c := range []struct{ in, want, err string }{
		{"secret\r\n", "secret", ""},
		{" spaces stay ", " spaces stay ", ""},
		{"\n", "", "the password is empty"},
		{"a\nb\n", "", "the password has more than one line"},
		{"caf\xe9", "", "the password is not UTF-8"},
		{strings.Repeat("x", 1025), "", "the password is longer than 1024 bytes"},
	} {
		got, err := oneLinePassword(c.in)
		if got != c.want || c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != c.err) {
			t.Errorf("oneLinePassword(%q) = %q, %v, want %q, %s", c.in, got, err, c.want, c.err)
		}
	}
}

// Credentials of the second of a kick are told apart: those from before it end no
// later than what the relay is told to refuse, those from after it do.
func TestVoidCredentials(t *testing.T) {
	i := newICEIssuer(nil, nil, nil)
	now := time.Unix(1_800_000_000, 250e6)
	ends := func() time.Time { return i.date("user1", now).Add(iceTTL).Truncate(time.Second) } // as they are issued
	for range 3 {
		before := ends()
		void := i.void("user1", now)
		if after := ends(); before.After(void) || !after.After(void) {
			t.Errorf("void until %v; one from before ends at %v, one from after at %v", void, before, after)
		}
	}
	now = now.Add(time.Minute)
	if void := i.void("user1", now); ends().Sub(void) > time.Second || !ends().After(void) {
		t.Errorf("a minute later one ends at %v, void until %v", ends(), void)
	}
	if got := i.date("user2", now); got != now {
		t.Errorf("another user's is dated %v, want now, %v", got, now)
	}
}
