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
)

var errControl = errors.New("the control plane did not answer")

// control is the library as a state machine of allocations, permissions and channels with their lifetimes: it gets
// requests that the guard has checked and made anew, answers them, and tells of what it changes. It never sees a packet
// of strangers or of data. This is the one file that knows the library.
//
// To the library control is a socket on which one request comes after the other. The address of that socket is another
// one for each life of a five-tuple, made of allocation.life: the library keeps allocations by client and local address,
// and one that dies deletes what it finds there.
type control struct {
	log *slog.Logger

	one sync.Mutex // held for a request
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
		AuthHandler:   func(string, string, net.Addr) ([]byte, bool) { return c.hand.allocation.owner.key, true },
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

// libraryRealm and libraryUser are what the library checks the guard's requests by; nobody else sees them.
const (
	libraryRealm = "sigctl"
	libraryUser  = "guard"
)

// allocate makes a, which is open, an allocation of the library's.
func (c *control) allocate(a *allocation, transaction [12]byte, lifetime time.Duration) ([]byte, error) {
	c.mu.Lock()
	c.lives[a.life] = a
	c.mu.Unlock()
	answer, err := c.request(a, transaction, stun.MethodAllocate,
		stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}, lifetimeOf(lifetime))
	if err != nil {
		c.forget(a)
	}
	return answer, err
}

// refresh sets what is left of a's life; 0 ends it.
func (c *control) refresh(a *allocation, transaction [12]byte, lifetime time.Duration) ([]byte, error) {
	if lifetime == 0 {
		a.flows.end() // at once: the library takes back one permission after the other
	}
	return c.request(a, transaction, stun.MethodRefresh, lifetimeOf(lifetime))
}

// permit installs or refreshes permissions for peers.
func (c *control) permit(a *allocation, transaction [12]byte, peers []netip.AddrPort) (answer []byte, err error) {
	attributes := make([]stun.Setter, len(peers))
	for i, peer := range peers {
		attributes[i] = peerAttribute(peer)
	}
	a.flows.together(func() { answer, err = c.request(a, transaction, stun.MethodCreatePermission, attributes...) })
	return answer, err
}

// bind binds a channel to a peer, or refreshes it. The answer is an error if one of the two is bound to another.
func (c *control) bind(a *allocation, transaction [12]byte, number uint16, peer netip.AddrPort) ([]byte, error) {
	return c.request(a, transaction, stun.MethodChannelBind,
		stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{byte(number >> 8), byte(number), 0, 0}}, peerAttribute(peer))
}

func lifetimeOf(d time.Duration) stun.Setter {
	return stun.RawAttribute{Type: stun.AttrLifetime, Value: binary.BigEndian.AppendUint32(nil, uint32(d/time.Second))}
}

type peerAttribute netip.AddrPort

func (p peerAttribute) AddTo(m *stun.Message) error {
	at := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: at.Addr().AsSlice(), Port: int(at.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

// request makes a request, signed with the key of a's owner as the answer will be, and returns the answer.
func (c *control) request(a *allocation, transaction [12]byte, method stun.Method, attributes ...stun.Setter) ([]byte, error) {
	c.one.Lock()
	defer c.one.Unlock()
	for range 2 {
		if err := c.renewLocked(); err != nil {
			return nil, err
		}
		setters := append([]stun.Setter{stun.NewTransactionIDSetter(transaction), stun.NewType(method, stun.ClassRequest)}, attributes...)
		m, err := stun.Build(append(setters, stun.NewUsername(libraryUser), stun.NewRealm(libraryRealm), stun.NewNonce(c.nonce),
			stun.MessageIntegrity(a.owner.key))...)
		if err != nil {
			return nil, fmt.Errorf("make request: %w", err)
		}
		answer, err := c.doLocked(a, m.Raw)
		if err != nil || !isStaleNonce(answer) {
			return answer, err
		}
		c.renewed = time.Time{}
	}
	return nil, errControl
}

func isStaleNonce(answer []byte) bool {
	m := &stun.Message{Raw: answer}
	var code stun.ErrorCodeAttribute
	return m.Decode() == nil && code.GetFrom(m) == nil && code.Code == stun.CodeStaleNonce
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
	m := &stun.Message{Raw: answer}
	var nonce stun.Nonce
	if err := errors.Join(m.Decode(), nonce.GetFrom(m)); err != nil {
		return fmt.Errorf("%w with a nonce: %w", errControl, err)
	}
	c.nonce, c.renewed = nonce.String(), time.Now()
	return nil
}

// doLocked hands the library a request and returns its answer.
func (c *control) doLocked(a *allocation, raw []byte) ([]byte, error) {
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
	case answer := <-c.out:
		if answer == nil {
			return nil, errControl
		}
		return answer, nil
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

// libraryConn is control as the library's net.PacketConn. The library calls ReadFrom, LocalAddr and WriteTo from one
// goroutine, and works on a request in between.
type libraryConn control

func (l *libraryConn) ReadFrom(p []byte) (int, net.Addr, error) {
	if l.hand != nil {
		l.out <- l.hand.answer // doLocked waits for it
		l.hand = nil
	}
	select {
	case l.hand = <-l.in:
		return copy(p, l.hand.raw), l.hand.client, nil
	case <-l.closed:
		close(l.ended)
		return 0, nil, net.ErrClosed
	}
}

func (l *libraryConn) WriteTo(p []byte, _ net.Addr) (int, error) {
	l.hand.answer = append([]byte(nil), p...)
	return len(p), nil
}

func (l *libraryConn) LocalAddr() net.Addr            { return l.hand.life }
func (*libraryConn) Close() error                     { return nil }
func (*libraryConn) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (*libraryConn) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (*libraryConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

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

// stub is a relayed address as the library sees it: nothing ever comes, and its end is that of the allocation.
type stub struct {
	control    *control
	allocation *allocation
}

func (s *stub) ReadFrom([]byte) (int, net.Addr, error) {
	defer s.control.stubs.Done() // the library then forgets the allocation, and reads no more
	<-s.allocation.ended
	return 0, nil, net.ErrClosed
}

// Close never fails: the library would leave other allocations open.
func (s *stub) Close() error {
	s.allocation.end()
	s.control.forget(s.allocation)
	return nil
}

func (s *stub) WriteTo([]byte, net.Addr) (int, error) { return 0, errors.ErrUnsupported }
func (s *stub) LocalAddr() net.Addr                   { return net.UDPAddrFromAddrPort(s.allocation.local) }
func (s *stub) SetDeadline(time.Time) error           { return errors.ErrUnsupported }
func (s *stub) SetReadDeadline(time.Time) error       { return errors.ErrUnsupported }
func (s *stub) SetWriteDeadline(time.Time) error      { return errors.ErrUnsupported }

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
