package turnserver

import (
	"net"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
)

// pionClient is the client that our peers use, with an allocation.
type pionClient struct {
	net.PacketConn // the relayed address
	t              *testing.T
	client         *turn.Client
}

func newPionClient(t *testing.T, ts *testServer, user string) *pionClient {
	t.Helper()
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	credential := ts.secrets.Issue(user, time.Minute, ts.clock.now())
	server := ts.Addrs(UDP)[0].String()
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: server, TURNServerAddr: server, Conn: socket, Realm: testRealm,
		Username: credential.Username, Password: credential.Password, LoggerFactory: logging.NewDefaultLoggerFactory(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	relayed, err := c.Allocate()
	if err != nil {
		t.Fatalf("allocate: %v", err)
	}
	t.Cleanup(func() { relayed.Close() })
	return &pionClient{relayed, t, c}
}

func (c *pionClient) permit(peer *pionClient) {
	c.t.Helper()
	if err := c.client.CreatePermission(peer.LocalAddr()); err != nil {
		c.t.Fatalf("permission: %v", err)
	}
}

// Two clients of the library that WebRTC peers use talk through two allocations; it starts with indications and goes
// over to channels by itself.
func TestPionClients(t *testing.T) {
	ts := newTestServer(t, nil)
	a, b := newPionClient(t, ts, "alice"), newPionClient(t, ts, "bob")
	a.permit(b)
	b.permit(a)
	for range 200 {
		exchange(t, a, b)
		exchange(t, b, a)
	}
	a.permit(b) // what it sent before has been counted
	b.permit(a)
	if got := ts.total(); len(got.Dropped) != 0 || got.FromPeers.Packets < 400 {
		t.Errorf("stats: got %+v, want 400 packets and none lost", got)
	}
}

func exchange(t *testing.T, from, to *pionClient) {
	t.Helper()
	if _, err := from.WriteTo([]byte("hello"), to.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 100)
	to.SetReadDeadline(time.Now().Add(patience))
	n, src, err := to.ReadFrom(buffer)
	if err != nil || string(buffer[:n]) != "hello" || src.String() != from.LocalAddr().String() {
		t.Fatalf("got %q from %v, %v, want hello from %v", buffer[:n], src, err, from.LocalAddr())
	}
}
