package turnserver

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"github.com/pion/turn/v4"

	"github.com/sigctl/sigctl/pkg/turncred"
)

// subject is a TURN server over UDP at 127.0.0.1, ours or the bare library, with one REST secret and the permission for
// peers at 127.0.0.2, but not at 127.0.0.3.
type subject struct {
	t       testing.TB
	at      []netip.AddrPort // 127.0.0.1, and another address of this machine with the same listener
	secrets *turncred.Secrets
	clock   *clock
}

const restSecret = "0123456789abcdef0123456789abcdef"

func newSubject(t testing.TB) *subject {
	t.Helper()
	secrets, err := turncred.NewSecrets(turncred.Secret{Key: []byte(restSecret)})
	if err != nil {
		t.Fatal(err)
	}
	return &subject{t: t, secrets: secrets, clock: &clock{t: time.Now()}}
}

func ours(t testing.TB) *subject {
	t.Helper()
	s := newSubject(t)
	ts := newTestServer(t, func(cfg *Config) {
		cfg.Listen, cfg.Secrets, cfg.Allow = []string{"127.0.0.1:0", "127.0.0.5:0"}, s.secrets, allow(t, "127.0.0.2/32")
	})
	s.at, s.clock = ts.Addrs(UDP), ts.clock
	return s
}

// bare starts the library as its examples do.
func bare(t testing.TB) *subject {
	t.Helper()
	s := newSubject(t)
	socket, err := net.ListenPacket("udp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	log := libraryLog{debugLogger(new(strings.Builder))}
	rest := turn.LongTermTURNRESTAuthHandler(restSecret, log)
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: testRealm, LoggerFactory: log,
		AuthHandler: func(username, realm string, client net.Addr) ([]byte, bool) {
			expiry, _, _ := strings.Cut(username, ":")
			if t, err := strconv.ParseInt(expiry, 10, 64); err != nil || t < s.clock.now().Unix() { // as rest does, by another clock
				return nil, false
			}
			return rest(username, realm, client)
		},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn:            socket,
			RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"},
			PermissionHandler:     func(_ net.Addr, peer net.IP) bool { return !peer.Equal(net.IPv4(127, 0, 0, 3)) },
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	port := socket.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	for _, ip := range []string{"127.0.0.1", "127.0.0.5"} {
		s.at = append(s.at, netip.AddrPortFrom(netip.MustParseAddr(ip), port))
	}
	return s
}

// client returns one that knows its nonce.
func (s *subject) client(user string) *testClient {
	s.t.Helper()
	conn, err := net.Dial("udp", s.at[0].String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return s.clientOn(conn, user)
}

func (s *subject) clientOn(conn net.Conn, user string) *testClient {
	s.t.Helper()
	c := &testClient{t: s.t, name: user, conn: conn, realm: testRealm}
	s.issue(c, user, time.Hour)
	var nonce stun.Nonce
	if err := nonce.GetFrom(c.ask(stun.MethodAllocate)); err != nil {
		s.t.Fatalf("challenge: %v", err)
	}
	c.nonce = nonce.String()
	return c
}

func (s *subject) issue(c *testClient, user string, ttl time.Duration) {
	credential := s.secrets.Issue(user, ttl, s.clock.now())
	c.username, c.password = credential.Username, credential.Password
}

func (s *subject) allocated(user string) *testClient {
	s.t.Helper()
	c := s.client(user)
	if err := wantCode(c.askSigned(stun.MethodAllocate, requestedUDP), 0); err != nil {
		s.t.Fatalf("allocate: %v", err)
	}
	return c
}

// ask sends a request that is not signed.
func (c *testClient) ask(method stun.Method, attributes ...stun.Setter) *stun.Message {
	c.t.Helper()
	return c.askFor(stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)...))
}

// askSigned signs a request by all that the client knows, without asking the server for more.
func (c *testClient) askSigned(method stun.Method, attributes ...stun.Setter) *stun.Message {
	c.t.Helper()
	return c.ask(method, append(attributes, c.credentials()...)...)
}

func (c *testClient) credentials() []stun.Setter {
	return []stun.Setter{stun.NewUsername(c.username), stun.NewRealm(c.realm), stun.NewNonce(c.nonce),
		stun.NewLongTermIntegrity(c.username, c.realm, c.password)}
}

// askFor returns the response, or nil: there is none if that to the next request comes without it.
func (c *testClient) askFor(m *stun.Message) (response *stun.Message) {
	c.t.Helper()
	next := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	c.write(m.Raw)
	c.write(next.Raw)
	for {
		got := &stun.Message{Raw: c.read()}
		switch got.Decode(); got.TransactionID {
		case m.TransactionID:
			c.noteRelayed(got)
			response = got
		case next.TransactionID:
			return response
		}
	}
}

func wantCode(response *stun.Message, code int) error {
	if response == nil {
		return fmt.Errorf("got no response, want %d", code)
	}
	if got := errorCode(response); got != code {
		return fmt.Errorf("got %v with code %d, want %d", response, got, code)
	}
	return nil
}

// wantChallenge checks for a code with all that a client needs to sign.
func wantChallenge(response *stun.Message, code int) error {
	if err := wantCode(response, code); err != nil {
		return err
	}
	if !response.Contains(stun.AttrRealm) || !response.Contains(stun.AttrNonce) {
		return fmt.Errorf("got %v, want realm and nonce", response)
	}
	return nil
}

func wantLifetime(response *stun.Message, seconds uint32) error {
	if err := wantCode(response, 0); err != nil {
		return err
	}
	if got, _ := response.Get(stun.AttrLifetime); !bytes.Equal(got, lifetime(seconds).Value) {
		return fmt.Errorf("got lifetime %x, want %d s", got, seconds)
	}
	return nil
}

func peerAt(text string) stun.Setter { return peerAddress(netip.MustParseAddrPort(text)) }

// reads returns the next packet's text, to a peer.
func (p *peer) reads() string {
	p.t.Helper()
	buffer := make([]byte, 1<<16)
	p.SetReadDeadline(time.Now().Add(patience))
	n, _, err := p.ReadFromUDPAddrPort(buffer)
	if err != nil {
		p.t.Fatalf("peer reads: %v", err)
	}
	return string(buffer[:n])
}
