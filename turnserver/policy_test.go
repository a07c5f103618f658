package turnserver

import (
	"net/netip"
	"testing"
)

func TestPolicy(t *testing.T) {
	plain := &policy{special: defaultDeny()}
	tests := []struct {
		peer string
		want bool
	}{
		{"8.8.8.8", true}, {"1.1.1.1", true}, {"172.15.255.255", true}, {"172.32.0.0", true}, {"100.63.0.1", true},
		{"100.128.0.1", true}, {"11.0.0.1", true}, {"192.0.1.1", true}, {"198.17.0.1", true}, {"198.20.0.1", true},
		{"223.255.255.255", true}, {"::ffff:8.8.8.8", true}, {"2606:4700::1111", true}, {"2001:4860::8888", true},
		{"127.0.0.1", false}, {"127.255.255.255", false}, {"0.0.0.0", false}, {"0.1.2.3", false}, {"10.0.0.1", false},
		{"172.16.0.1", false}, {"172.31.255.255", false}, {"192.168.1.1", false}, {"100.64.0.1", false},
		{"100.127.255.255", false}, {"169.254.169.254", false}, {"169.254.0.1", false}, {"192.0.0.1", false},
		{"192.0.2.1", false}, {"198.18.0.1", false}, {"198.19.255.255", false}, {"198.51.100.1", false},
		{"203.0.113.1", false}, {"192.88.99.1", false}, {"224.0.0.1", false}, {"239.255.255.255", false},
		{"240.0.0.1", false}, {"255.255.255.255", false}, {"168.63.129.16", false}, {"168.63.129.15", true}, {"168.63.129.17", true},
		{"::", false}, {"::1", false}, {"::7f00:1", false}, {"::ffff:127.0.0.1", false}, {"::ffff:10.0.0.1", false},
		{"::ffff:169.254.169.254", false}, {"::ffff:0:7f00:1", false}, {"64:ff9b::7f00:1", false},
		{"64:ff9b:1::7f00:1", false}, {"2002:7f00:1::", false}, {"2001::1", false}, {"2001:db8::1", false},
		{"2001:2::1", false}, {"3fff::1", false}, {"100::1", false}, {"fc00::1", false}, {"fd12::1", false},
		{"fe80::1", false}, {"fe80::1%eth0", false}, {"fec0::1", false}, {"ff02::1", false},
		{"2001:10::1", false}, {"2001:1ff::1", false}, {"2001:200::1", true}, {"5f00::1", false}, {"4000::1", false},
		{"1fff::1", false}, {"2000::1", true}, {"3ffe::1", true}, {"100:0:0:1::1", false}, {"::ffff:100.64.0.1", false},
	}
	for _, tt := range tests {
		ip := netip.MustParseAddr(tt.peer)
		if got := plain.permits(netip.AddrPortFrom(ip, 1234)); got != tt.want {
			t.Errorf("peer %s: got %v, want %v", tt.peer, got, tt.want)
		}
		if got := plain.mayHavePermission(ip); got != tt.want {
			t.Errorf("permission for %s: got %v, want %v", tt.peer, got, tt.want)
		}
	}
	if plain.permitsIP(netip.Addr{}) || plain.permits(netip.MustParseAddrPort("8.8.8.8:0")) {
		t.Errorf("no address, or port 0, is permitted")
	}
}

func TestPolicyLists(t *testing.T) {
	p := &policy{
		allow: prefixes("10.0.0.0/8", "192.0.2.0/24", "::1/128"), deny: prefixes("10.1.0.0/16", "8.8.0.0/16"),
		special: defaultDeny(),
		host: hostAddresses{
			relayIPs:  prefixIPs("192.0.2.1/32", "5.5.5.5/32", "6.6.6.6/32"),
			listenIPs: prefixIPs("192.0.2.1/32", "7.7.7.7/32"), listenPorts: []uint16{3478},
		},
	}
	tests := []struct {
		peer string
		want bool
	}{
		{"10.0.0.1:1", true}, {"[::ffff:10.0.0.1]:1", true}, {"10.1.0.1:1", false}, {"[::ffff:10.1.0.1]:1", false},
		{"8.8.8.8:1", false}, {"8.9.8.8:1", true}, {"[::1]:1", true}, {"192.168.0.1:1", false},
		{"5.5.5.5:1", false}, {"6.6.6.6:1", false}, // services beside the relay, on public addresses of this machine
		{"192.0.2.1:1", true}, {"192.0.2.1:3478", false}, // allowed by the list, but never the listener
		{"7.7.7.7:3478", false}, {"5.5.5.5:3478", false}, {"7.7.7.7:3479", true}, {"7.7.7.8:3478", true},
	}
	for _, tt := range tests {
		if got := p.permits(netip.MustParseAddrPort(tt.peer)); got != tt.want {
			t.Errorf("peer %s: got %v, want %v", tt.peer, got, tt.want)
		}
	}
	for _, relay := range p.host.relayIPs {
		if !p.mayHavePermission(relay) {
			t.Errorf("permission for the relay address %v: refused", relay)
		}
	}
}

// What no list opens: addresses of more than one host. What a list has to open: this machine, at public addresses too.
func TestPolicyOfThisHost(t *testing.T) {
	nets := prefixes("9.9.9.9/24", "9.9.8.1/32", "9.9.7.2/31", "9.9.6.3/31",
		"2600::9/24", "2601::1/127", "2602::1/128", "2603::5/126", "2604:0:0:7::9/64", "2605::/64")
	closed := &policy{special: defaultDeny(), host: hostAddresses{nets: nets}}
	open := &policy{allow: prefixes("0.0.0.0/0", "::/0"), special: defaultDeny(), host: hostAddresses{nets: nets}}
	tests := []struct {
		peer            string
		byDefault, open bool
	}{
		{"9.9.9.1", true, true}, {"9.9.8.0", true, true}, {"9.9.7.3", true, true}, {"9.9.10.255", true, true},
		{"9.9.9.9", false, true}, {"::ffff:9.9.9.9", false, true}, {"9.9.8.1", false, true}, {"9.9.7.2", false, true},
		{"9.9.9.255", false, false}, {"9.9.9.0", false, false}, {"::ffff:9.9.9.255", false, false},
		{"255.255.255.255", false, false}, {"224.0.0.1", false, false}, {"0.0.0.0", false, false},
		{"9.9.6.3", false, true}, {"9.9.6.2", true, true}, {"::ffff:9.9.6.2", true, true}, // the first of two
		{"2600::1", true, true}, {"2600:ff:ffff:ffff:ffff:ffff:ffff:ffff", true, true}, // IPv6 has no broadcast
		{"2600::", false, true}, {"2601::", true, true}, {"2602::", true, true}, {"2603::4", false, true}, {"2603::", true, true}, // routers
		{"2603::6", true, true}, {"2604:0:0:7::", false, true}, {"2604:0:0:8::", true, true}, {"2604::", true, true}, {"2605::", false, true},
		{"2601::1", false, true}, {"2602::1", false, true}, {"2603::5", false, true},
		{"2600::9", false, true}, {"ff02::1", false, false}, {"::", false, false},
	}
	for _, tt := range tests {
		ip := netip.MustParseAddr(tt.peer)
		if got := closed.permitsIP(ip); got != tt.byDefault {
			t.Errorf("peer %s: got %v, want %v", tt.peer, got, tt.byDefault)
		}
		if got := open.permitsIP(ip); got != tt.open {
			t.Errorf("peer %s, all allowed: got %v, want %v", tt.peer, got, tt.open)
		}
	}
}

// A reserved wildcard is reserved at all addresses that the kernel takes for this host's, whatever is allowed.
func TestReservedAtThisHost(t *testing.T) {
	p := &policy{allow: prefixes("::/0"), host: hostAddresses{
		nets: prefixes("2600::9/64", "2601::1/127"), reserved: []netip.AddrPort{netip.MustParseAddrPort("[::]:9091")},
	}}
	for peer, want := range map[string]bool{
		"[2600::9]:9091": false, "[2600::]:9091": false, "[2601::1]:9091": false, "[::1]:9091": false,
		"[2600::8]:9091": true, "[2601::]:9091": true, "[2600::]:9092": true,
	} {
		if got := p.permits(netip.MustParseAddrPort(peer)); got != want {
			t.Errorf("peer %s: got %v, want %v", peer, got, want)
		}
	}
}

func prefixIPs(texts ...string) []netip.Addr {
	var ips []netip.Addr
	for _, prefix := range prefixes(texts...) {
		ips = append(ips, prefix.Addr())
	}
	return ips
}

// The policy as a client meets it: an error to CreatePermission and to ChannelBind, unless a flag allows the peer.
func TestDeniedPeers(t *testing.T) {
	closed := newTestServer(t, func(cfg *Config) { cfg.ExternalIPs = []string{"9.9.9.9/127.0.0.2"} }).allocated("alice")
	open := newTestServer(t, withAllow(t, "127.0.0.0/8 10.0.0.0/8 169.254.0.0/16")).allocated("alice")
	tests := []struct {
		peer         string
		opensByAllow bool
	}{
		{"127.0.0.1", true}, {"10.0.0.1", true}, {"169.254.169.254", true}, {"::ffff:127.0.0.1", true},
		{"192.168.0.1", false}, {"::1", false}, {"64:ff9b::7f00:1", false}, {"2002:7f00:1::", false},
	}
	for i, tt := range tests {
		peer := netip.AddrPortFrom(netip.MustParseAddr(tt.peer), 1234)
		channel := uint16(0x4000 + i)
		if errorCode(closed.permit(peer)) == 0 || errorCode(closed.bindChannel(channel, peer)) == 0 {
			t.Errorf("peer %s: permitted, want it refused", tt.peer)
		}
		// A channel of its own address each: the IPv6 form of 127.0.0.1 is the same peer again.
		peer = netip.AddrPortFrom(peer.Addr(), uint16(2000+i))
		if got := errorCode(open.permit(peer)) == 0 && errorCode(open.bindChannel(channel, peer)) == 0; got != tt.opensByAllow {
			t.Errorf("peer %s with the allow list: permitted %v, want %v", tt.peer, got, tt.opensByAllow)
		}
	}
}

// Go lets every UDP socket broadcast: what stops a client is the policy alone.
func TestNoBroadcastEvenIfAllowed(t *testing.T) {
	ts := newTestServer(t, withAllow(t, "0.0.0.0/0"))
	c := ts.allocated("alice")
	for i, ip := range []string{"127.255.255.255", "255.255.255.255", "224.0.0.1", "0.0.0.0"} {
		peer := netip.AddrPortFrom(netip.MustParseAddr(ip), 1234)
		if errorCode(c.permit(peer)) == 0 || errorCode(c.bindChannel(uint16(0x4000+i), peer)) == 0 {
			t.Errorf("peer %s: permitted, want it refused", ip)
		}
	}
}
