package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/sigctl/sigctl/turnserver"
)

// relayFlags are the options of a lone relay with these flags.
func relayFlags(t *testing.T, args ...string) *relayOptions {
	t.Helper()
	o, f := &relayOptions{}, pflag.NewFlagSet("turn", pflag.ContinueOnError)
	o.flags(f, "")
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestSecureListeners(t *testing.T) {
	for _, tt := range []struct {
		args        string
		certificate bool
		want        string
	}{
		{"", true, ":5349"},
		{"", false, ""},
		{"--listen 192.0.2.1:3478", true, "192.0.2.1:5349"},
		{"--listen [::1]:3478,127.0.0.1:0", true, "[::1]:5349 127.0.0.1:0"},
		{"--listen :3478,:3479", true, ":5349"},
		{"--tls-listen off", true, ""},
		{"--tls-listen=", true, ""},
		{"--tls-listen :443", true, ":443"},
		{"--tls-listen :443 --tls-listen :5349", true, ":443 :5349"},
	} {
		var cfg turnserver.Config
		o := relayFlags(t, strings.Fields(tt.args)...)
		if got := strings.Join(o.secureListen(o.tlsListen, tt.certificate), " "); got != tt.want {
			t.Errorf("%s, certificate %v: TLS at %q, want %q", tt.args, tt.certificate, got, tt.want)
		}
		if err := o.configure(&cfg, nil); err != nil || len(cfg.TLSListen) > 0 && !strings.Contains(tt.args, "--tls-listen :") {
			t.Errorf("%s: configured TLS at %v without a certificate, %v", tt.args, cfg.TLSListen, err)
		}
	}
}

func TestParseBandwidth(t *testing.T) {
	for text, want := range map[string]int64{
		"off": -1, "1": 1, "500B": 500, "10kB": 10_000, "10KiB": 10 << 10, "4MB": 4_000_000, "32MiB": 32 << 20, "1GB": 1e9, "2GiB": 2 << 30,
	} {
		if got, err := parseBandwidth(text); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "1.5MB", "MB", "1 MB", "1mb", "1TB", "on", "9999999999GB", "99999999999999999999"} {
		if got, err := parseBandwidth(text); err == nil {
			t.Errorf("%q: %d, want an error", text, got)
		}
	}
}

func TestParsePeers(t *testing.T) {
	for _, tt := range []struct{ name, text, allow, deny, err string }{
		{"both", "allow: [10.0.0.0/8, '2001:db8::7']\ndeny:\n- 10.9.8.7/16\n", "10.0.0.0/8 2001:db8::7/128", "10.9.0.0/16", ""},
		{"one", "deny: ['::ffff:10.0.0.1']", "", "10.0.0.1/32", ""},
		{"none", "allow: []", "", "", ""},
		{"empty", "", "", "", "empty: to have no lists, write allow: []"},
		{"a comment", "# later\n", "", "", "empty: to have no lists, write allow: []"},
		{"null", "~", "", "", "line 1: must be allow and deny, each with a list"},
		{"a list", "- 10.0.0.0/8", "", "", "line 1: must be allow and deny, each with a list"},
		{"cut off", "allow: [10.0.0.0/8]\ndeny:", "10.0.0.0/8", "", "line 2: deny must be a list, as in [10.0.0.0/8]"},
		{"not YAML", "allow: [", "", "", "line 1: did not find expected node content"},
		{"twice", "allow: []\nallow: []", "", "", "line 2: allow a second time"},
		{"two documents", "allow: []\n---\ndeny: []", "", "", "more than one YAML document: what comes after --- would not count"},
		{"all faults", "alow: []\nallow: [x, '::ffff:0:0/90']\ndeny: [1.2.3.4/33, 'fe80::1%eth0']", "", "",
			`line 1: unknown key "alow": there are allow and deny` + "\n" + `line 2: allow: "x" is not a CIDR` + "\n" +
				`line 2: allow: "::ffff:0:0/90" is not a CIDR` + "\n" + `line 3: deny: "1.2.3.4/33" is not a CIDR` + "\n" + `line 3: deny: "fe80::1%eth0" is not a CIDR`},
	} {
		lists, err := parsePeers([]byte(tt.text))
		text := ""
		if err != nil {
			text = err.Error()
		}
		if diff := cmp.Diff([]string{tt.allow, tt.deny, tt.err}, []string{join(lists.allow), join(lists.deny), text}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func join(list []netip.Prefix) string {
	var texts []string
	for _, prefix := range list {
		texts = append(texts, prefix.String())
	}
	return strings.Join(texts, " ")
}

// The hint names the flag that has the address, not one that follows it.
func TestListenFault(t *testing.T) {
	for _, tt := range []struct{ args, network, address, want string }{
		{"--listen 192.0.2.9:0", "tcp4", "192.0.2.9:0", "--listen"},
		{"--listen 192.0.2.9:0", "udp4", "192.0.2.9:0", "--listen"},
		{"--listen :3478", "udp4", "127.0.0.1:3478", "--listen"},
		{"--listen :3478", "tcp6", "[::]:5349", "--tls-listen"},
		{"--listen 127.0.0.1:3478", "udp4", "127.0.0.1:5349", "--dtls-listen"},
		{"--listen 127.0.0.1:0 --tls-listen 192.0.2.9:0", "tcp4", "192.0.2.9:0", "--tls-listen"},
		{"--external-ip 203.0.113.7/192.0.2.9", "udp4", "192.0.2.9:0", "LOCAL of --external-ip"},
	} {
		o := relayFlags(t, strings.Fields(tt.args)...)
		cfg := &turnserver.Config{TLS: new(tls.Config)}
		if err := o.configure(cfg, nil); err != nil {
			t.Fatal(err)
		}
		socket := &net.OpError{Op: "listen", Net: tt.network, Addr: netAddr(tt.address), Err: syscall.EADDRINUSE}
		var f *fault
		if err := o.listenFault(fmt.Errorf("start relay: %w", socket), cfg); !errors.As(err, &f) || !strings.Contains(" "+f.hints[0], " "+tt.want) {
			t.Errorf("%s: %s %s: %v, hints %q, want %q", tt.args, tt.network, tt.address, err, f.hints, tt.want)
		}
	}
}

// netAddr is an address of some network.
type netAddr string

func (netAddr) Network() string  { return "" }
func (a netAddr) String() string { return string(a) }
