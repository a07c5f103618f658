package turnserver

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// newIdleServer is a server that does not serve: what its guard gets comes from guardConns.
func newIdleServer(t testing.TB, change func(*Config)) *testServer {
	t.Helper()
	cfg, c := testConfig(t), &clock{t: time.Now()}
	if change != nil {
		change(cfg)
	}
	s, err := listenAt(cfg, c.now)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return &testServer{Server: s, t: t, secrets: cfg.Secrets, clock: c}
}

// guardConn is a client's way to the guard, without a network. Reading never waits.
type guardConn struct {
	guard   *guard
	client  *client
	answers [][]byte
}

// at returns a client for user that seems to be at an address, over UDP unless told otherwise.
func (ts *testServer) at(from, user string) *testClient {
	l := ts.listeners[0]
	g := &guardConn{guard: ts.guard, client: &client{
		fiveTuple: fiveTuple{client: netip.MustParseAddrPort(from), server: l.address, transport: l.transport}, listener: l, shard: &shard{socket: l.places[0].sockets[0]},
	}}
	credential := ts.secrets.Issue(user, 10*time.Minute, ts.clock.now())
	return &testClient{t: ts.t, name: user, conn: g, username: credential.Username, password: credential.Password, realm: testRealm}
}

func (g *guardConn) Write(p []byte) (int, error) {
	if answer := g.guard.handle(g.client, append([]byte(nil), p...)); answer != nil {
		g.answers = append(g.answers, answer)
	}
	return len(p), nil
}

func (g *guardConn) Read(p []byte) (int, error) {
	if len(g.answers) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, g.answers[0])
	g.answers = g.answers[1:]
	return n, nil
}

func (*guardConn) Close() error                     { return nil }
func (g *guardConn) LocalAddr() net.Addr            { return net.UDPAddrFromAddrPort(g.client.client) }
func (g *guardConn) RemoteAddr() net.Addr           { return net.UDPAddrFromAddrPort(g.client.server) }
func (*guardConn) SetDeadline(time.Time) error      { return nil }
func (*guardConn) SetReadDeadline(time.Time) error  { return nil }
func (*guardConn) SetWriteDeadline(time.Time) error { return nil }

// exactPeer is XOR-PEER-ADDRESS in the family of the address as it is written: IPv4 in IPv6 form stays IPv6, which the
// library would undo.
type exactPeer netip.AddrPort

func (p exactPeer) AddTo(m *stun.Message) error {
	at := netip.AddrPort(p)
	number := byte(2)
	if at.Addr().Is4() {
		number = 1
	}
	value := append([]byte{0, number, 0, 0}, at.Addr().AsSlice()...)
	binary.BigEndian.PutUint16(value[2:], at.Port()^0x2112)
	for i := range value[4:] {
		value[4+i] ^= m.Raw[4+i] // cookie and transaction id
	}
	m.Add(stun.AttrXORPeerAddress, value)
	return nil
}

func exactly(text string) exactPeer { return exactPeer(netip.MustParseAddrPort(text)) }

// raw is any attribute.
func raw(t stun.AttrType, value ...byte) stun.RawAttribute {
	return stun.RawAttribute{Type: t, Value: value}
}

// learned returns a client at an address that has a nonce, and an allocation if it is to have one.
func learned(ts *testServer, from string, allocated bool) *testClient {
	ts.t.Helper()
	c := ts.at(from, "alice")
	c.nonce = ts.guard.nonces.issue(c.conn.(*guardConn).client.fiveTuple)
	if allocated {
		if err := wantCode(c.askSigned(stun.MethodAllocate, requestedUDP), 0); err != nil {
			ts.t.Fatalf("allocate: %v", err)
		}
	}
	return c
}
