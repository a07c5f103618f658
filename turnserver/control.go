package turnserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v3"
	"github.com/pion/turn/v4"
)

const (
	// inboundMTU is above the longest request that the guard makes.
	inboundMTU = 1 << 16

	// libraryNonce is how long a nonce of the library's is used; it is good for an hour.
	libraryNonce = 30 * time.Minute

	// libraryLifetime is what the library is asked for always, the longest that it takes. Its own timer may find a request
	// in the midst of its work: ours ends an allocation long before, see longestLifetime.
	libraryLifetime = time.Hour - time.Second
)

var errControl = errors.New("the control plane did not answer")

// control is the library as a state machine of allocations, permissions and channels: it gets requests that are made of
// what the guard has checked, and tells of what it changes. It never sees a packet of strangers or of data, and when an
// allocation ends is not for it to say. This is the one file that knows the library; what that takes for sockets is in
// stub.go.
//
// To the library control is a socket on which one request comes after the other. The address of that socket is another
// one for each life of a five-tuple, made of allocation.life: the library keeps allocations by client and local address,
// and one that dies deletes what it finds there.
type control struct {
	log *slog.Logger

	one sync.Mutex // held for a request, and for the end of an allocation to wait for it
	in  chan *libraryRequest
	out chan []byte

	// owned by the library's goroutine
	hand *libraryRequest

	// guarded by one
	nonce   string
	renewed time.Time

	// guarded by mu, which is held for no call
	mu    sync.Mutex
	lives map[uint64]*allocation

	stubs  sync.WaitGroup // that the library reads
	once   sync.Once
	closed chan struct{}
	ended  chan struct{} // the library's goroutine asks for no more
}

// libraryRequest is what the library works on.
type libraryRequest struct {
	raw        []byte
	client     *net.UDPAddr
	life       *net.UDPAddr
	allocation *allocation // nil: for the nonce
	answer     []byte
}

func startControl(log *slog.Logger) (*control, error) {
	c := &control{
		log: log, in: make(chan *libraryRequest), out: make(chan []byte), lives: make(map[uint64]*allocation),
		closed: make(chan struct{}), ended: make(chan struct{}),
	}
	_, err := turn.NewServer(turn.ServerConfig{
		Realm:         libraryRealm,
		InboundMTU:    inboundMTU,
		LoggerFactory: libraryLog{log},
		AuthHandler:   func(string, string, net.Addr) ([]byte, bool) { return []byte(libraryKey), true },
		EventHandler: turn.EventHandler{
			OnPermissionCreated: func(_, life net.Addr, _, _, _ string, _ net.Addr, peer net.IP) {
				c.changed(life, func(f *flowTable) { f.permit(addrOf(peer)) })
			},
			OnPermissionDeleted: func(_, life net.Addr, _, _, _ string, _ net.Addr, peer net.IP) {
				c.changed(life, func(f *flowTable) { f.forbid(addrOf(peer)) })
			},
			OnChannelCreated: func(_, life net.Addr, _, _, _ string, _, peer net.Addr, number uint16) {
				c.changed(life, func(f *flowTable) { f.bind(number, unmap(peer.(*net.UDPAddr).AddrPort())) })
			},
			OnChannelDeleted: func(_, life net.Addr, _, _, _ string, _, peer net.Addr, number uint16) {
				c.changed(life, func(f *flowTable) { f.unbind(number, unmap(peer.(*net.UDPAddr).AddrPort())) })
			},
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: (*libraryConn)(c), RelayAddressGenerator: libraryRelays{c}}},
	})
	return c, err
}

// What the library checks our requests by; nobody else sees them.
const (
	libraryRealm = "sigctl"
	libraryUser  = "guard"
	libraryKey   = "key"
)

// allocate makes a, which is open, an allocation of the library's, and lets it live for a lifetime. Like the other
// requests it returns errEnded if a has ended in the meantime.
func (c *control) allocate(a *allocation, lifetime time.Duration) error {
	c.mu.Lock()
	c.lives[a.life] = a
	c.mu.Unlock()
	err := c.request(a, stun.MethodAllocate, stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{protocolUDP, 0, 0, 0}},
		lifetimeOf(libraryLifetime))
	if err == nil {
		err = a.liveFor(lifetime)
	}
	if err != nil {
		c.forget(a)
	}
	return err
}

// refresh sets what is left of a's life; 0 ends it.
func (c *control) refresh(a *allocation, lifetime time.Duration) error {
	if lifetime == 0 {
		a.flows.end() // at once: the library takes back one permission after the other
		return c.request(a, stun.MethodRefresh, lifetimeOf(0))
	}
	if err := c.request(a, stun.MethodRefresh, lifetimeOf(libraryLifetime)); err != nil {
		return err
	}
	return a.liveFor(lifetime)
}

// permit installs or refreshes permissions for peers.
func (c *control) permit(a *allocation, peers []netip.AddrPort) (err error) {
	attributes := make([]stun.Setter, len(peers))
	for i, peer := range peers {
		attributes[i] = peerAttribute(peer)
	}
	a.flows.together(func() { err = c.request(a, stun.MethodCreatePermission, attributes...) })
	return err
}

// bind binds a channel to a peer, or refreshes it. It fails if one of the two is bound to another.
func (c *control) bind(a *allocation, number uint16, peer netip.AddrPort) error {
	return c.request(a, stun.MethodChannelBind,
		stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{byte(number >> 8), byte(number), 0, 0}}, peerAttribute(peer))
}

// request makes a request, and returns nil if it succeeds.
func (c *control) request(a *allocation, method stun.Method, attributes ...stun.Setter) error {
	c.one.Lock()
	defer c.one.Unlock()
	if a.isOver() { // the library may be about to close what it has of it
		return errEnded
	}
	for range 2 {
		if err := c.renewLocked(); err != nil {
			return err
		}
		setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
		m, err := stun.Build(append(setters, stun.NewUsername(libraryUser), stun.NewRealm(libraryRealm), stun.NewNonce(c.nonce),
			stun.MessageIntegrity(libraryKey))...)
		if err != nil {
			return fmt.Errorf("make request: %w", err)
		}
		answer, err := c.doLocked(a, m.Raw)
		if err != nil || answer.Type.Class == stun.ClassSuccessResponse {
			return err
		}
		var code stun.ErrorCodeAttribute
		if code.GetFrom(answer) != nil || code.Code != stun.CodeStaleNonce {
			return fmt.Errorf("%w as it should: %v", errControl, answer)
		}
		c.renewed = time.Time{}
	}
	return errControl
}

// renewLocked gets a nonce of the library if there is none or it is old.
func (c *control) renewLocked() error {
	if time.Since(c.renewed) < libraryNonce {
		return nil
	}
	answer, err := c.doLocked(nil, stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest)).Raw)
	if err != nil {
		return err
	}
	var nonce stun.Nonce
	if err := nonce.GetFrom(answer); err != nil {
		return fmt.Errorf("%w with a nonce: %w", errControl, err)
	}
	c.nonce, c.renewed = nonce.String(), time.Now()
	return nil
}

// doLocked hands the library a request and returns its answer.
func (c *control) doLocked(a *allocation, raw []byte) (*stun.Message, error) {
	r := &libraryRequest{raw: raw, allocation: a, client: new(net.UDPAddr), life: lifeAddr(0)}
	if a != nil {
		r.client, r.life = net.UDPAddrFromAddrPort(a.client.client), lifeAddr(a.life)
	}
	select {
	case c.in <- r:
	case <-c.closed:
		return nil, net.ErrClosed
	}
	select {
	case raw := <-c.out:
		if raw == nil {
			return nil, errControl
		}
		answer := &stun.Message{Raw: raw}
		return answer, answer.Decode()
	case <-c.ended:
		return nil, net.ErrClosed
	}
}

// lifeAddr is the local address that stands for a life.
func lifeAddr(life uint64) *net.UDPAddr {
	return &net.UDPAddr{IP: binary.BigEndian.AppendUint64(make([]byte, 8, 16), life)}
}

// changed applies what the library tells of the allocation with that life.
func (c *control) changed(life net.Addr, change func(*flowTable)) {
	c.mu.Lock()
	a := c.lives[binary.BigEndian.Uint64(life.(*net.UDPAddr).IP[8:])]
	c.mu.Unlock()
	if a != nil {
		change(&a.flows)
	}
}

func addrOf(ip net.IP) netip.Addr {
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

func (c *control) forget(a *allocation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.lives, a.life)
}

// close ends the library's part of all allocations, and those with it, and waits for the library to be done.
func (c *control) close() {
	c.once.Do(func() { close(c.closed) })
	<-c.ended
	c.stubs.Wait()
}

// libraryRelays gives the library a stub for the relayed address of the request in hand.
type libraryRelays struct{ *control }

func (libraryRelays) Validate() error { return nil }

func (r libraryRelays) AllocatePacketConn(string, int) (net.PacketConn, net.Addr, error) {
	a := r.hand.allocation
	r.stubs.Add(1)
	return &stub{r.control, a}, net.UDPAddrFromAddrPort(a.public), nil
}

func (libraryRelays) AllocateConn(string, int) (net.Conn, net.Addr, error) {
	return nil, nil, net.UnknownNetworkError("tcp")
}

// libraryLog passes the library's errors on, as debug lines.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) NewLogger(string) logging.LeveledLogger { return l }

func (l libraryLog) Error(text string) { l.log.Debug("turn library", "err", text) }
func (l libraryLog) Errorf(format string, args ...any) {
	l.log.Debug("turn library", "err", fmt.Sprintf(format, args...))
}

func (libraryLog) Trace(string)          {}
func (libraryLog) Tracef(string, ...any) {}
func (libraryLog) Debug(string)          {}
func (libraryLog) Debugf(string, ...any) {}
func (libraryLog) Info(string)           {}
func (libraryLog) Infof(string, ...any)  {}
func (libraryLog) Warn(string)           {}
func (libraryLog) Warnf(string, ...any)  {}
