package turnserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"go.uber.org/goleak"

	"github.com/sigctl/sigctl/pkg/turncred"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testRealm = "example.com"

	// patience ends a test that hangs. No test passes by waiting for it.
	patience = 2 * time.Minute
)

// until waits until something holds that gives no sign when it does.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// testServer is a relay on 127.0.0.1 with a secret and the static user "static" with password "password".
type testServer struct {
	*Server
	t       testing.TB
	secrets *turncred.Secrets
	clock   *clock
	clients atomic.Int32 // that were made
}

// manyClients are as many as a server answers at once at 127.0.0.1. More come from addresses that Linux alone has.
const manyClients = 20

// total is what all listeners count together.
func (ts *testServer) total() (sum ListenerStats) {
	sum.Errors, sum.Dropped = make(map[int]uint64), make(map[string]uint64)
	for _, l := range ts.Stats().Listeners {
		for code, n := range l.Errors {
			sum.Errors[code] += n
		}
		for why, n := range l.Dropped {
			sum.Dropped[why] += n
		}
		sum.ToPeers.Packets += l.ToPeers.Packets
		sum.ToPeers.Bytes += l.ToPeers.Bytes
		sum.FromPeers.Packets += l.FromPeers.Packets
		sum.FromPeers.Bytes += l.FromPeers.Bytes
	}
	return sum
}

// occupy binds a UDP address, which then is another program's.
func occupy(at netip.AddrPort) (*net.UDPConn, error) {
	return net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func testConfig(t testing.TB) *Config {
	t.Helper()
	secrets, err := turncred.NewSecrets(
		turncred.Secret{ID: "k1", Key: bytes.Repeat([]byte("1"), turncred.MinKey)},
		turncred.Secret{ID: "k2", Key: bytes.Repeat([]byte("2"), turncred.MinKey)},
	)
	if err != nil {
		t.Fatal(err)
	}
	return &Config{
		Listen: []string{"127.0.0.1:0"}, Realm: testRealm, Secrets: secrets, Addresses: theAddresses(t),
		Users: map[string]string{"static": "password"},
	}
}

// newTestServer serves until the test ends. change, which may be nil, changes the configuration.
func newTestServer(t testing.TB, change func(*Config)) *testServer {
	t.Helper()
	ts := newIdleServer(t, change)
	served, ctx := make(chan error, 1), t.Context()
	go func() { served <- ts.Serve(ctx) }()
	t.Cleanup(func() {
		ts.Close()
		if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return ts
}

// testClient speaks STUN and TURN, one request at a time.
type testClient struct {
	t         testing.TB
	name      string
	conn      net.Conn
	transport Transport
	username  string
	password  string
	realm     string
	nonce     string
	relayed   netip.AddrPort
	pending   []packet // came while a response was awaited
	buffer    []byte   // of read
}

// packet is what a client receives from a peer: in a channel, or from an address.
type packet struct {
	channel uint16
	from    netip.AddrPort
	text    string
}

// client returns one for user, with a fresh credential, that has not sent anything yet.
func (ts *testServer) client(user string) *testClient {
	ts.t.Helper()
	return ts.clientAt(user, ts.Addrs(UDP)[0])
}

func (ts *testServer) clientAt(user string, server netip.AddrPort) *testClient {
	ts.t.Helper()
	var from *net.UDPAddr
	if n := ts.clients.Add(1); server.Addr().Is4() && n > manyClients { // at one address they would not all be answered
		from = &net.UDPAddr{IP: net.IPv4(127, 1, byte(n/250), byte(1+n%250))}
	}
	conn, err := net.DialUDP("udp", from, net.UDPAddrFromAddrPort(server))
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { conn.Close() })
	credential := ts.secrets.Issue(user, 10*time.Minute, ts.clock.now())
	return &testClient{t: ts.t, name: user, conn: conn, username: credential.Username, password: credential.Password, realm: testRealm}
}

// allocated returns a client with an allocation.
func (ts *testServer) allocated(user string) *testClient {
	ts.t.Helper()
	c := ts.client(user)
	c.allocate()
	return c
}

func (c *testClient) allocate() {
	c.t.Helper()
	c.wantOK(stun.MethodAllocate, c.request(stun.MethodAllocate, requestedUDP))
}

// Attributes.
var requestedUDP = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}

func lifetime(seconds uint32) stun.RawAttribute {
	return stun.RawAttribute{Type: stun.AttrLifetime, Value: binary.BigEndian.AppendUint32(nil, seconds)}
}

func channelNumber(n uint16) stun.RawAttribute {
	return stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{byte(n >> 8), byte(n), 0, 0}}
}

type peerAddress netip.AddrPort

func (p peerAddress) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

// request sends a request, signed once the server has asked for it, and returns the final response.
func (c *testClient) request(method stun.Method, attributes ...stun.Setter) *stun.Message {
	c.t.Helper()
	for range 2 {
		setters := []stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}
		setters = append(setters, attributes...)
		if c.nonce != "" {
			setters = append(setters, stun.NewUsername(c.username), stun.NewRealm(c.realm), stun.NewNonce(c.nonce),
				stun.NewLongTermIntegrity(c.username, c.realm, c.password))
		}
		response := c.roundTrip(stun.MustBuild(setters...))
		var nonce stun.Nonce
		if nonce.GetFrom(response) != nil || c.nonce != "" && errorCode(response) == 401 {
			c.noteRelayed(response)
			return response
		}
		c.nonce = nonce.String()
	}
	c.t.Fatalf("%s: %s is challenged twice", c.name, method)
	return nil
}

func (c *testClient) noteRelayed(response *stun.Message) {
	var relayed stun.XORMappedAddress
	if relayed.GetFromAs(response, stun.AttrXORRelayedAddress) == nil {
		ip, _ := netip.AddrFromSlice(relayed.IP)
		c.relayed = netip.AddrPortFrom(ip.Unmap(), uint16(relayed.Port))
	}
}

func (c *testClient) roundTrip(m *stun.Message) *stun.Message {
	c.t.Helper()
	c.write(m.Raw)
	for {
		raw := c.read()
		response := &stun.Message{Raw: raw}
		if raw[0] < 0x40 && response.Decode() == nil && response.TransactionID == m.TransactionID {
			return response
		}
		c.pending = append(c.pending, c.parse(raw))
	}
}

func (c *testClient) write(raw []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(raw); err != nil {
		c.t.Fatalf("%s sends: %v", c.name, err)
	}
}

func (c *testClient) read() []byte {
	c.t.Helper()
	if c.buffer == nil {
		c.buffer = make([]byte, 1<<17)
	}
	c.conn.SetReadDeadline(time.Now().Add(patience))
	n, err := c.readMessage(c.buffer)
	if err != nil {
		c.t.Fatalf("%s receives: %v", c.name, err)
	}
	return bytes.Clone(c.buffer[:n])
}

// readMessage reads one message, off a stream with what pads it.
func (c *testClient) readMessage(buffer []byte) (int, error) {
	if c.transport != TCP && c.transport != TLS {
		return c.conn.Read(buffer)
	}
	if _, err := io.ReadFull(c.conn, buffer[:4]); err != nil {
		return 0, err
	}
	length := int(binary.BigEndian.Uint16(buffer[2:]))
	if buffer[0]>>6 == 0 {
		length += 16
	}
	n, err := io.ReadFull(c.conn, buffer[4:4+(length+3)&^3])
	return 4 + n, err
}

// parse reads ChannelData or a Data indication.
func (c *testClient) parse(raw []byte) packet {
	c.t.Helper()
	if raw[0]&0xC0 == 0x40 {
		length := binary.BigEndian.Uint16(raw[2:])
		return packet{channel: binary.BigEndian.Uint16(raw), text: string(raw[4 : 4+length])}
	}
	m := &stun.Message{Raw: raw}
	var peer stun.XORMappedAddress
	if err := m.Decode(); err != nil || m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
		c.t.Fatalf("%s receives %v, %v, want data", c.name, m, err)
	}
	data, err := m.Get(stun.AttrData)
	if err != nil || peer.GetFromAs(m, stun.AttrXORPeerAddress) != nil {
		c.t.Fatalf("%s receives a Data indication without data or peer: %v", c.name, m)
	}
	ip, _ := netip.AddrFromSlice(peer.IP)
	return packet{from: netip.AddrPortFrom(ip.Unmap(), uint16(peer.Port)), text: string(data)}
}

// wantText checks the next packet from any peer.
func (c *testClient) wantText(want packet) {
	c.t.Helper()
	var got packet
	if len(c.pending) > 0 {
		got, c.pending = c.pending[0], c.pending[1:]
	} else {
		got = c.parse(c.read())
	}
	if got != want {
		c.t.Errorf("%s receives %+v, want %+v", c.name, got, want)
	}
}

func (c *testClient) wantOK(method stun.Method, response *stun.Message) {
	c.t.Helper()
	if want := stun.NewType(method, stun.ClassSuccessResponse); response.Type != want {
		c.t.Fatalf("%s: got %v (error %d), want %v", c.name, response, errorCode(response), want)
	}
}

// errorCode of a response: 0 for success, 1 for an error without a code.
func errorCode(response *stun.Message) int {
	var code stun.ErrorCodeAttribute
	switch {
	case response.Type.Class == stun.ClassSuccessResponse:
		return 0
	case code.GetFrom(response) != nil:
		return 1
	}
	return int(code.Code)
}

func (c *testClient) permit(peers ...netip.AddrPort) *stun.Message {
	c.t.Helper()
	var attributes []stun.Setter
	for _, peer := range peers {
		attributes = append(attributes, peerAddress(peer))
	}
	return c.request(stun.MethodCreatePermission, attributes...)
}

func (c *testClient) bindChannel(n uint16, peer netip.AddrPort) *stun.Message {
	c.t.Helper()
	return c.request(stun.MethodChannelBind, channelNumber(n), peerAddress(peer))
}

// send sends a Send indication.
func (c *testClient) send(peer netip.AddrPort, text string) {
	c.t.Helper()
	c.write(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		peerAddress(peer), stun.RawAttribute{Type: stun.AttrData, Value: []byte(text)}).Raw)
}

// sendChannel sends ChannelData.
func (c *testClient) sendChannel(n uint16, text string) {
	c.t.Helper()
	raw := binary.BigEndian.AppendUint16(nil, n)
	raw = binary.BigEndian.AppendUint16(raw, uint16(len(text)))
	raw = append(raw, text...)
	if c.transport == TCP || c.transport == TLS {
		raw = append(raw, make([]byte, (4-len(raw)%4)%4)...)
	}
	c.write(raw)
}

// peer is a plain UDP socket at a loopback address. Those beside 127.0.0.1 are there on Linux.
type peer struct {
	*net.UDPConn
	t    testing.TB
	addr netip.AddrPort
}

func newPeer(t testing.TB, ip string) *peer {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Fatalf("peer at %s: %v", ip, err)
	}
	t.Cleanup(func() { conn.Close() })
	return &peer{conn, t, unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort())}
}

func (p *peer) send(to netip.AddrPort, text string) {
	p.t.Helper()
	if _, err := p.WriteToUDPAddrPort([]byte(text), to); err != nil {
		p.t.Fatalf("peer sends: %v", err)
	}
}

// wantText checks the next packet and where it comes from.
func (p *peer) wantText(from netip.AddrPort, text string) {
	p.t.Helper()
	buffer := make([]byte, 1<<16)
	p.SetReadDeadline(time.Now().Add(patience))
	n, src, err := p.ReadFromUDPAddrPort(buffer)
	if err != nil || unmap(src) != from || string(buffer[:n]) != text {
		p.t.Errorf("peer receives %.40q from %v, %v, want %.40q from %v", buffer[:n], src, err, text, from)
	}
}

func allow(t testing.TB, cidrs string) []netip.Prefix {
	t.Helper()
	return prefixes(strings.Fields(cidrs)...)
}
