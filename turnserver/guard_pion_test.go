package turnserver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
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

// What the library gets wrong, as a client that is neither its nor ours sees it. Each row is an error from the bare library,
// and none from us. What is not here cannot be asked over UDP: framing and deadlines of streams are internal/stream's,
// which ports are picked TestPortRange's, and that successors live TestSuccessors'.
func TestWhatTheLibraryGetsWrong(t *testing.T) {
	for _, tt := range []struct {
		fault string
		check func(*subject) error
	}{
		{"attributes after MESSAGE-INTEGRITY count", checkAfterIntegrity},
		{"every peer is permitted", func(s *subject) error {
			return wantCode(s.allocated("alice").askSigned(stun.MethodCreatePermission, peerAt("169.254.169.254:80")), 403)
		}},
		{"permissions are granted up to the first denied one", checkAllOrNone},
		{"a denied channel is 401", func(s *subject) error {
			return wantCode(s.allocated("alice").askSigned(stun.MethodChannelBind, channelNumber(0x4000), peerAt("127.0.0.3:9")), 403)
		}},
		{"an IPv6 peer of an IPv4 relay is permitted", func(s *subject) error {
			return wantCode(s.allocated("alice").askSigned(stun.MethodCreatePermission, peerAt("[2606:4700::1111]:9")), 443)
		}},
		{"an allocation ends with its credential", func(s *subject) error {
			c := s.client("alice")
			s.issue(c, "alice", time.Minute)
			c.askSigned(stun.MethodAllocate, requestedUDP)
			s.clock.advance(2 * time.Minute)
			return wantCode(c.askSigned(stun.MethodRefresh), 0)
		}},
		{"a wrong password is 400", func(s *subject) error {
			c := s.client("alice")
			c.password = "wrong"
			return wantChallenge(c.askSigned(stun.MethodAllocate, requestedUDP), 401)
		}},
		{"no answer to CreatePermission of strangers", func(s *subject) error {
			return wantChallenge(s.client("alice").ask(stun.MethodCreatePermission, peerAt("127.0.0.2:9")), 401)
		}},
		{"no answer to ChannelBind of strangers", func(s *subject) error {
			return wantChallenge(s.client("alice").ask(stun.MethodChannelBind, channelNumber(0x4000), peerAt("127.0.0.2:9")), 401)
		}},
		{"unknown attributes are passed over", checkUnknownAttribute},
		{"a TCP relay that is a UDP one", func(s *subject) error {
			return wantCode(s.client("alice").askSigned(stun.MethodAllocate, stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{6, 0, 0, 0}}), 442)
		}},
		{"an IPv6 relay that is an IPv4 one", func(s *subject) error {
			return wantCode(s.client("alice").askSigned(stun.MethodAllocate, requestedUDP, requestedFamily(2)), 440)
		}},
		{"no answer to Refresh without an allocation", func(s *subject) error {
			return wantCode(s.client("alice").askSigned(stun.MethodRefresh), 437)
		}},
		{"a nonce is anybody's", func(s *subject) error {
			c := s.client("alice")
			c.nonce = s.client("alice").nonce
			return wantChallenge(c.askSigned(stun.MethodAllocate, requestedUDP), 438)
		}},
		{"a nonce is good for an hour", func(s *subject) error {
			c := s.allocated("alice")
			s.clock.advance(DefaultNonceLifetime)
			return wantChallenge(c.askSigned(stun.MethodRefresh), 438)
		}},
		{"the client chooses the realm", func(s *subject) error {
			c := s.client("alice")
			c.realm = "elsewhere.example"
			return wantChallenge(c.askSigned(stun.MethodAllocate, requestedUDP), 401)
		}},
		{"another user's allocation", func(s *subject) error {
			c := s.allocated("alice")
			s.issue(c, "bob", time.Minute)
			return wantCode(c.askSigned(stun.MethodRefresh), 441)
		}},
		{"a long lifetime becomes a short one", func(s *subject) error {
			return wantLifetime(s.allocated("alice").askSigned(stun.MethodRefresh, lifetime(7200)), 3599)
		}},
		{"a lifetime below the default", func(s *subject) error {
			return wantLifetime(s.allocated("alice").askSigned(stun.MethodRefresh, lifetime(10)), 600)
		}},
		{"Allocate with lifetime 0", func(s *subject) error {
			return wantLifetime(s.client("alice").askSigned(stun.MethodAllocate, requestedUDP, lifetime(0)), 600)
		}},
		{"reserved channel numbers", func(s *subject) error {
			return wantCode(s.allocated("alice").askSigned(stun.MethodChannelBind, channelNumber(0x5000), peerAt("127.0.0.2:9")), 400)
		}},
		{"reserved ports are given to others", checkReservation},
		{"long datagrams from clients", checkLongFromClient},
		{"long datagrams from peers", checkLongFromPeer},
		{"one allocation for all addresses", checkTwoAddresses},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			if err := tt.check(bare(t)); err == nil {
				t.Error("the bare library passes: this row says nothing")
			}
			if err := tt.check(ours(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

func requestedFamily(number byte) stun.RawAttribute {
	return stun.RawAttribute{Type: stun.AttrRequestedAddressFamily, Value: []byte{number, 0, 0, 0}}
}

// Anyone on the way can append attributes. A lifetime of 0 would end the call.
func checkAfterIntegrity(s *subject) error {
	c := s.allocated("alice")
	m := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassRequest)}, c.credentials()...)...)
	lifetime(0).AddTo(m)
	if err := wantLifetime(c.askFor(m), 600); err != nil {
		return err
	}
	return wantCode(c.askSigned(stun.MethodRefresh), 0)
}

func checkAllOrNone(s *subject) error {
	c, friend := s.allocated("alice"), newPeer(s.t, "127.0.0.2")
	if err := wantCode(c.askSigned(stun.MethodCreatePermission, peerAddress(friend.addr), peerAt("127.0.0.3:9")), 403); err != nil {
		return err
	}
	c.send(friend.addr, "without a permission")
	if err := wantCode(c.askSigned(stun.MethodCreatePermission, peerAddress(friend.addr)), 0); err != nil {
		return err
	}
	c.send(friend.addr, "with one")
	if got := friend.reads(); got != "with one" {
		return fmt.Errorf("peer receives %q first", got)
	}
	return nil
}

func checkUnknownAttribute(s *subject) error {
	response := s.client("alice").askSigned(stun.MethodAllocate, requestedUDP, stun.RawAttribute{Type: 0x7001}, stun.RawAttribute{Type: 0x7002, Value: []byte("x")})
	if err := wantCode(response, 420); err != nil {
		return err
	}
	if got, _ := response.Get(stun.AttrUnknownAttributes); !slices.Equal(got, []byte{0x70, 0x01, 0x70, 0x02}) {
		return fmt.Errorf("got unknown attributes %x", got)
	}
	return nil
}

func checkReservation(s *subject) error {
	first, second := s.client("alice"), s.client("alice")
	response := first.askSigned(stun.MethodAllocate, requestedUDP, stun.RawAttribute{Type: stun.AttrEvenPort, Value: []byte{0x80}})
	if err := wantCode(response, 0); err != nil {
		return err
	}
	token, err := response.Get(stun.AttrReservationToken)
	if err != nil {
		return err
	}
	if err := wantCode(second.askSigned(stun.MethodAllocate, requestedUDP, stun.RawAttribute{Type: stun.AttrReservationToken, Value: token}), 0); err != nil {
		return err
	}
	if port := first.relayed.Port(); port%2 != 0 || second.relayed.Port() != port+1 {
		return fmt.Errorf("got ports %d and %d, want an even one and the next", port, second.relayed.Port())
	}
	return nil
}

func checkLongFromClient(s *subject) error {
	c, friend := s.allocated("alice"), newPeer(s.t, "127.0.0.2")
	if err := wantCode(c.askSigned(stun.MethodChannelBind, channelNumber(0x4000), peerAddress(friend.addr)), 0); err != nil {
		return err
	}
	long := strings.Repeat("x", 2000)
	c.sendChannel(0x4000, long)
	c.sendChannel(0x4000, "short")
	if got := friend.reads(); got != long {
		return fmt.Errorf("peer receives %d bytes first, want 2000", len(got))
	}
	return nil
}

func checkLongFromPeer(s *subject) error {
	c, friend := s.allocated("alice"), newPeer(s.t, "127.0.0.2")
	if err := wantCode(c.askSigned(stun.MethodChannelBind, channelNumber(0x4000), peerAddress(friend.addr)), 0); err != nil {
		return err
	}
	friend.send(c.relayed, strings.Repeat("x", 2000))
	if got := binary.BigEndian.Uint16(c.read()[2:]); got != 2000 {
		return fmt.Errorf("client receives %d bytes, want 2000", got)
	}
	return nil
}

// One socket of a client may have an allocation at each address of ours.
func checkTwoAddresses(s *subject) error {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	s.t.Cleanup(func() { socket.Close() })
	for _, at := range s.at {
		c := s.clientOn(&socketTo{socket, at}, "alice")
		if err := wantCode(c.askSigned(stun.MethodAllocate, requestedUDP), 0); err != nil {
			return fmt.Errorf("at %v: %w", at, err)
		}
	}
	return nil
}

// socketTo is a socket that is not connected, as a net.Conn.
type socketTo struct {
	*net.UDPConn
	to netip.AddrPort
}

func (s *socketTo) Write(p []byte) (int, error) { return s.WriteToUDPAddrPort(p, s.to) }
