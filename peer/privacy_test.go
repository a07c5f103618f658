package peer

import (
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/pion/turn/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// relayAt starts a relay whose clients reach it at listen, and whose peers see
// packets from relayed. cert makes it TLS; udp makes it neither.
func relayAt(t *testing.T, listen, relayed string, udp bool, cert *tls.Certificate) protocol.ICEServer {
	t.Helper()
	cfg := relayConfig()
	addresses := &turn.RelayAddressGeneratorStatic{RelayAddress: net.ParseIP(relayed), Address: relayed}
	if udp {
		conn, err := net.ListenPacket("udp", net.JoinHostPort(listen, "0"))
		if err != nil {
			t.Skipf("listen on %s: %v", listen, err)
		}
		cfg.PacketConnConfigs = []turn.PacketConnConfig{{PacketConn: conn, RelayAddressGenerator: addresses}}
		startTURN(t, cfg)
		return relayEntry("turn:" + conn.LocalAddr().String() + "?transport=udp")
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(listen, "0"))
	if err != nil {
		t.Skipf("listen on %s: %v", listen, err)
	}
	scheme, address := "turn:", listener.Addr().String()
	if cert != nil {
		scheme, listener = "turns:", tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{*cert}})
	}
	cfg.ListenerConfigs = []turn.ListenerConfig{{Listener: listener, RelayAddressGenerator: addresses}}
	startTURN(t, cfg)
	return relayEntry(scheme + address + "?transport=tcp")
}

// ownAddresses returns every address of this machine.
func ownAddresses(t *testing.T) (own []string) {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		own = append(own, addr.(*net.IPNet).IP.String())
	}
	return own
}

// wire keeps everything that two clients say to each other over the server.
type wire struct {
	mu         sync.Mutex
	frames     []string
	candidates []string
}

func (w *wire) record(_, _ string, m protocol.Forwarded) protocol.Forwarded {
	frame, err := protocol.EncodeClient("", m)
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames = append(w.frames, string(frame))
	w.candidates = append(w.candidates, candidatesIn(m)...)
	return m
}

// A relay candidate names the relay, and nothing else: whatever the transport to the
// relay, its base is hidden. In a relay-only call nothing else names this machine.
func TestRelayCandidatesHideTheirBase(t *testing.T) {
	cert, pool := testCA(t)
	trusts := func(c *Config) { c.TLSConfig = &tls.Config{RootCAs: pool} }
	tests := []struct {
		name, listen string
		udp          bool
		cert         *tls.Certificate
	}{
		{"UDP", "127.0.0.1", true, nil},
		{"TCP", "127.0.0.1", false, nil},
		{"TLS", "127.0.0.1", false, &cert},
		{"UDP over IPv6", "::1", true, nil},
		{"TCP over IPv6", "::1", false, nil},
	}
	const relayed = "127.0.0.2"
	for _, tt := range tests {
		for name, option := range map[string]func(*Config){"relay only": relayOnly, "all": func(*Config) {}} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				t.Parallel()
				s := newFakeServer(t)
				s.ice = []protocol.ICEServer{relayAt(t, tt.listen, relayed, tt.udp, tt.cert)}
				var w wire
				s.tamper = w.record
				alice, bob := s.join("alice", option, trusts), s.join("bob", option, trusts)
				a, b := connect(t, alice, bob)
				wantChat(t, a, b)
				alice.Close()
				bob.Close()
				w.check(t, relayed, name == "relay only")
			})
		}
	}
}

func (w *wire) check(t *testing.T, relayed string, relayOnly bool) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	relays := 0
	for _, c := range w.candidates {
		if candidateType(c) != "relay" {
			continue
		}
		relays++
		if !strings.Contains(c, " "+relayed+" ") || !strings.Contains(c, " raddr 0.0.0.0 rport 0") {
			t.Errorf("candidate %q, want one at %s with raddr 0.0.0.0 rport 0", c, relayed)
		}
	}
	if relayOnly && relays < 2 {
		t.Errorf("%d relay candidates, want one of each side", relays)
	}
	if !relayOnly {
		return
	}
	for _, frame := range w.frames {
		for _, own := range ownAddresses(t) {
			if strings.Contains(frame, own) {
				t.Errorf("%s was disclosed by %s", own, frame)
			}
		}
	}
}

func TestWithoutBase(t *testing.T) {
	tests := []struct{ in, want string }{
		{"candidate:1 1 udp 2 203.0.113.1 5000 typ relay raddr 192.0.2.1 rport 4000 ufrag x", "candidate:1 1 udp 2 203.0.113.1 5000 typ relay raddr 0.0.0.0 rport 0 ufrag x"},
		{"candidate:1 1 udp 2 2001:db8::1 5000 typ relay raddr 2001:db8::2 rport 4000", "candidate:1 1 udp 2 2001:db8::1 5000 typ relay raddr :: rport 0"},
		{"candidate:1 1 udp 2 192.0.2.1 5000 typ host ufrag x", "candidate:1 1 udp 2 192.0.2.1 5000 typ host ufrag x"},
		{"candidate:1 1 udp 2 203.0.113.1 5000 typ srflx raddr 192.0.2.1 rport 4000", "candidate:1 1 udp 2 203.0.113.1 5000 typ srflx raddr 192.0.2.1 rport 4000"},
		{"", ""},
		{"candidate:1 1 udp 2 203.0.113.1 5000 typ relay raddr", "candidate:1 1 udp 2 203.0.113.1 5000 typ relay raddr"},
	}
	for _, tt := range tests {
		if got := withoutBase(tt.in); got != tt.want {
			t.Errorf("withoutBase(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	sdp := "v=0\r\na=candidate:1 1 udp 2 203.0.113.1 5000 typ relay raddr 192.0.2.1 rport 4000\r\na=mid:0\r\n"
	want := "v=0\r\na=candidate:1 1 udp 2 203.0.113.1 5000 typ relay raddr 0.0.0.0 rport 0\r\na=mid:0\r\n"
	if got := outgoingSDP(sdp); got != want {
		t.Errorf("outgoingSDP: %q, want %q", got, want)
	}
}
