package peer

import (
	"log/slog"
	"net"
	"testing"

	"github.com/pion/turn/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

func relayOnly(c *Config) { c.RelayOnly = true }

const relayRealm, relayUser, relayPassword = "example.com", "user", "secret"

func relayConfig() turn.ServerConfig {
	return turn.ServerConfig{
		Realm:         relayRealm,
		LoggerFactory: pionLog{slog.New(slog.DiscardHandler)},
		AuthHandler: func(user, realm string, _ net.Addr) ([]byte, bool) {
			return turn.GenerateAuthKey(user, realm, relayPassword), true
		},
	}
}

func relayAddresses() turn.RelayAddressGenerator {
	return &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}
}

// startRelay starts a TURN server on the loopback interface, over UDP.
func startRelay(t testing.TB) protocol.ICEServer {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := relayConfig()
	cfg.PacketConnConfigs = []turn.PacketConnConfig{{PacketConn: conn, RelayAddressGenerator: relayAddresses()}}
	startTURN(t, cfg)
	return relayEntry("turn:" + conn.LocalAddr().String() + "?transport=udp")
}

func startTURN(t testing.TB, cfg turn.ServerConfig) {
	t.Helper()
	server, err := turn.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
}

func relayEntry(url string) protocol.ICEServer {
	return protocol.ICEServer{URLs: []string{url}, Username: relayUser, Credential: relayPassword}
}

func TestRelayOnly(t *testing.T) {
	s := newFakeServer(t)
	s.ice = []protocol.ICEServer{startRelay(t)}
	s.tamper = func(_, _ string, m protocol.Forwarded) protocol.Forwarded {
		for _, c := range candidatesIn(m) {
			if typ := candidateType(c); typ != "relay" {
				t.Errorf("%T carries a candidate of type %s: %s", m, typ, c)
			}
		}
		return m
	}
	a, b := connect(t, s.join("alice", relayOnly), s.join("bob", relayOnly))
	wantChat(t, a, b)
	if p := a.Path(); p.Kind() != "relay" || p.Local.Type != "relay" {
		t.Errorf("path %v, want a relay at our end", p)
	}
}

func TestRelayOnlyWithoutRelay(t *testing.T) {
	s := newFakeServer(t)
	alice := s.join("alice", relayOnly)
	s.join("bob")
	if _, err := alice.Call(testContext(t), "bob"); err == nil {
		t.Error("a relay-only call without a relay began")
	}
}
