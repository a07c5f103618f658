package turnload

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/pion/stun/v3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a TURN server with one flaw or another. It checks nothing but that requests are signed.
type fake struct {
	t      testing.TB
	refuse map[stun.Method]int                           // the error code of a method's responses
	stale  int                                           // so many signed requests get 438
	relay  func(n int, packet []byte, send func([]byte)) // what happens to the n-th packet up; nil: it is sent

	udp     *net.UDPConn
	tcp     net.Listener
	serving sync.WaitGroup

	// guarded by mu
	mu          sync.Mutex
	allocations map[string]*fakeAllocation // by client
	packets     int
	released    int // allocations ended by a Refresh
	conns       []net.Conn
}

type fakeAllocation struct {
	conn  *net.UDPConn // the relayed address
	reply func(frame []byte)
	peer  netip.AddrPort // bound
}

func newFake(t testing.TB, change func(*fake)) *fake {
	t.Helper()
	f := &fake{t: t, allocations: map[string]*fakeAllocation{}}
	if change != nil {
		change(f)
	}
	f.udp = listenLoopback(t)
	var err error
	if f.tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	f.serving.Go(f.serveUDP)
	f.serving.Go(f.serveTCP)
	t.Cleanup(f.close)
	return f
}

func listenLoopback(t testing.TB) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (f *fake) close() {
	f.udp.Close()
	f.tcp.Close()
	f.mu.Lock()
	for _, a := range f.allocations {
		a.conn.Close()
	}
	for _, conn := range f.conns {
		conn.Close()
	}
	f.mu.Unlock()
	f.serving.Wait()
}

func (f *fake) url() string    { return "turn:" + f.udp.LocalAddr().String() }
func (f *fake) tcpURL() string { return "turn:" + f.tcp.Addr().String() + "?transport=tcp" }

func (f *fake) serveUDP() {
	buffer := make([]byte, 1<<16)
	for {
		n, from, err := f.udp.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		f.handle(buffer[:n], from.String(), func(frame []byte) { f.udp.WriteToUDPAddrPort(frame, from) })
	}
}

func (f *fake) serveTCP() {
	for {
		conn, err := f.tcp.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, conn)
		f.mu.Unlock()
		f.serving.Go(func() {
			r := bufio.NewReader(conn)
			for {
				head, err := r.Peek(4)
				if err != nil {
					return
				}
				frame := make([]byte, frameSize(head))
				if _, err := io.ReadFull(r, frame); err != nil {
					return
				}
				f.handle(frame, conn.RemoteAddr().String(), func(frame []byte) {
					conn.Write(append(frame, make([]byte, pad(len(frame))-len(frame))...))
				})
			}
		})
	}
}

func (f *fake) handle(frame []byte, client string, reply func([]byte)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &stun.Message{Raw: frame}
	if isChannelData(frame) {
		f.up(f.allocations[client], frame[channelHead:channelHead+int(binary.BigEndian.Uint16(frame[2:]))])
	} else if m.Decode() != nil {
		f.t.Errorf("the fake server got %x", frame)
	} else if m.Type == typeSend {
		data, _ := m.Get(stun.AttrData)
		f.up(f.allocations[client], data)
	} else {
		reply(f.answer(m, client, reply).Raw)
	}
}

// up relays a packet of a client.
func (f *fake) up(a *fakeAllocation, data []byte) {
	send := func(p []byte) { a.conn.WriteToUDPAddrPort(p, a.peer) }
	if f.packets++; f.relay != nil {
		f.relay(f.packets, data, send)
	} else {
		send(data)
	}
}

func (f *fake) answer(m *stun.Message, client string, reply func([]byte)) *stun.Message {
	fail := func(code int) *stun.Message {
		return stun.MustBuild(m, stun.NewType(m.Type.Method, stun.ClassErrorResponse), stun.ErrorCodeAttribute{Code: stun.ErrorCode(code)},
			stun.NewRealm("example.com"), stun.NewNonce("nonce"))
	}
	if !m.Contains(stun.AttrMessageIntegrity) {
		return fail(401)
	}
	if f.stale > 0 {
		f.stale--
		return fail(438)
	}
	if code := f.refuse[m.Type.Method]; code != 0 {
		return fail(code)
	}
	ok := []stun.Setter{m, stun.NewType(m.Type.Method, stun.ClassSuccessResponse)}
	switch m.Type.Method {
	case stun.MethodAllocate:
		at := f.allocate(client, reply).LocalAddr().(*net.UDPAddr)
		ok = append(ok, relayedAttribute{IP: at.IP, Port: at.Port})
	case stun.MethodRefresh:
		if lifetime, _ := m.Get(stun.AttrLifetime); binary.BigEndian.Uint32(lifetime) == 0 {
			f.released++
		}
	default:
		var peer stun.XORMappedAddress
		if err := peer.GetFromAs(m, stun.AttrXORPeerAddress); err != nil {
			f.t.Errorf("%v has no peer: %v", m, err)
		}
		f.allocations[client].peer = netip.MustParseAddrPort((&net.UDPAddr{IP: peer.IP, Port: peer.Port}).String())
	}
	return stun.MustBuild(ok...)
}

type relayedAttribute stun.XORMappedAddress

func (r relayedAttribute) AddTo(m *stun.Message) error {
	return stun.XORMappedAddress(r).AddToAs(m, stun.AttrXORRelayedAddress)
}

// allocate returns the relayed address of a client. What comes there goes down to it, in its channel.
func (f *fake) allocate(client string, reply func([]byte)) *net.UDPConn {
	a := &fakeAllocation{conn: listenLoopback(f.t), reply: reply}
	f.allocations[client] = a
	f.serving.Go(func() {
		buffer := make([]byte, 1<<16)
		for {
			n, _, err := a.conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			frame, offset := channelFrame(n, false)
			copy(frame[offset:], buffer[:n])
			a.reply(frame)
		}
	})
	return a.conn
}

// wantReleased checks that the client has taken back all that it was given.
func (f *fake) wantReleased(allocations int) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.released != allocations || len(f.allocations) != allocations {
		f.t.Errorf("%d allocations were made and %d released, want %d", len(f.allocations), f.released, allocations)
	}
}
