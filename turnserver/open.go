package turnserver

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sigctl/sigctl/pkg/udp"
)

const (
	// socketBuffer is what we ask the kernel for, per direction. It grants at most net.core.rmem_max and wmem_max.
	socketBuffer = 4 << 20

	// maxBindTries bounds the work for one relayed port when other programs hold most of the range.
	maxBindTries = 64

	// reservationTime is how long the port after an even one is kept (RFC 8656 section 7.2).
	reservationTime = 30 * time.Second
)

var (
	errNoPort  = errors.New("no relay port is free")
	errNoToken = errors.New("there is no such reservation")
	errFamily  = errors.New("there is no address of that family to relay at")
)

// wanted is what an Allocate request asks of the relayed address.
type wanted struct {
	family  family
	even    bool    // EVEN-PORT
	reserve bool    // and the next port is to be kept for another request
	token   [8]byte // RESERVATION-TOKEN, of the kept one; zero: none
}

// open opens an allocation for owner at c, and starts its reader. Its token is that of the reserved port, if one is
// wanted. Errors are errDraining, errKicked, errUserQuota, errUserRate, errFull, errNoPort, errNoToken and errFamily.
func (s *Server) open(c *client, owner identity, w wanted) (a *allocation, token [8]byte, err error) {
	if w.token != ([8]byte{}) {
		kept, err := s.reservations.claim(w.token, owner.user)
		if err != nil {
			return nil, token, err
		}
		a, err = s.start(c, owner, kept.at, kept.socket, kept.use)
		return a, token, err
	}
	at, ok := s.relayAt(c.client.Addr(), c.server.Addr(), w.family)
	if !ok {
		return nil, token, errFamily
	}
	places := 1
	if w.reserve {
		places = 2
	}
	use, err := s.allocations.take(owner, places)
	if err != nil {
		return nil, token, err
	}
	sockets, err := s.bindRelay(at.local, w)
	if err != nil {
		s.allocations.release(owner.user, places)
		return nil, token, err
	}
	if w.reserve {
		token = s.reservations.keep(&reserved{server: s, user: owner.user, at: at, socket: sockets[1], use: use})
	}
	if a, err = s.start(c, owner, at, sockets[0], use); err != nil {
		s.reservations.cancel(token, owner.user)
	}
	return a, token, err
}

// start makes an allocation of a socket, which has a place. On an error the socket is closed and the place given back.
func (s *Server) start(c *client, owner identity, at external, socket *udp.Socket, use *usage) (*allocation, error) {
	local := socket.LocalAddr()
	a := &allocation{
		server: s, client: *c, owner: owner, life: s.lives.Add(1), opened: s.auth.now(),
		socket: socket, local: local, public: netip.AddrPortFrom(at.public, local.Port()),
		use: use, ended: make(chan struct{}),
		requests: bucket{rate: s.requestRate(1), burst: requestBurst}, bindings: bucket{rate: s.requestRate(1), burst: requestBurst},
	}
	if err := s.allocations.add(a); err != nil {
		s.allocations.release(owner.user, 1)
		socket.Close()
		return nil, err
	}
	s.running.Go(a.serve)
	return a, nil
}

// relayAt returns where a client that reached us at an address gets its relayed address. Peers of a client of another
// machine do not reach a loopback address, at which a proxy of this machine, who tells us of the client, may reach us.
func (s *Server) relayAt(client, reached netip.Addr, f family) (external, bool) {
	if at := s.external[f]; at.local.IsValid() {
		return at, true
	}
	ips := s.policy.Load().host.served
	loopback := reached.IsLoopback() && client.IsLoopback()
	if familyOf(reached) == f && reached.IsLoopback() == loopback && slices.Contains(ips, reached) { // others are not known to the policy
		return external{reached, reached}, true
	}
	for _, wanted := range []bool{loopback, !loopback} {
		for _, ip := range ips {
			if familyOf(ip) == f && ip.IsLoopback() == wanted {
				return external{ip, ip}, true
			}
		}
	}
	return external{}, false
}

// bindRelay opens a socket at ip on an unpredictable port of the range (RFC 8656 section 7.2): an even one if it has to
// be, and then the next one, too, if that is to be reserved.
func (s *Server) bindRelay(ip netip.Addr, w wanted) ([]*udp.Socket, error) {
	lowest, step := int(s.MinPort), 1
	if w.even {
		lowest, step = lowest+lowest%2, 2
	}
	ports := (int(s.MaxPort)-lowest)/step + 1
	if ports <= 0 {
		return nil, errNoPort
	}
	start, err := rand.Int(rand.Reader, big.NewInt(int64(ports)))
	if err != nil {
		return nil, err
	}
	err = errNoPort
	for i, tries := 0, 0; i < ports && tries < maxBindTries; i++ {
		port := lowest + (int(start.Int64())+i)%ports*step
		if port > int(s.MaxPort) || s.allocations.at(netip.AddrPortFrom(ip, uint16(port))) != nil {
			continue
		}
		sockets, failed := s.bindPair(ip, port, w.reserve)
		if failed == nil {
			return sockets, nil
		}
		err = fmt.Errorf("%w: %w", errNoPort, failed)
		tries++
	}
	return nil, err
}

// bindPair opens a socket at a port, and if two are wanted the one at the next.
func (s *Server) bindPair(ip netip.Addr, port int, two bool) ([]*udp.Socket, error) {
	if two && port == int(s.MaxPort) {
		return nil, errNoPort
	}
	options := &udp.Options{Buffer: socketBuffer}
	first, err := udp.Listen(netip.AddrPortFrom(ip, uint16(port)), options)
	if err != nil || !two {
		return []*udp.Socket{first}, err
	}
	second, err := udp.Listen(netip.AddrPortFrom(ip, uint16(port+1)), options)
	if err != nil {
		first.Close()
		return nil, err
	}
	return []*udp.Socket{first, second}, nil
}

// reservations are ports that are kept for a while, each with a place.
type reservations struct {
	mu      sync.Mutex
	byToken map[[8]byte]*reserved
	closed  bool
}

// reserved is one such port.
type reserved struct {
	server *Server
	user   string
	at     external
	socket *udp.Socket
	use    *usage
	timer  *time.Timer
}

// keep keeps r for reservationTime.
func (rs *reservations) keep(r *reserved) (token [8]byte) {
	rand.Read(token[:]) // never fails
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed {
		r.drop()
		return token
	}
	r.timer = time.AfterFunc(reservationTime, func() { rs.cancel(token, r.user) })
	if rs.byToken == nil {
		rs.byToken = make(map[[8]byte]*reserved)
	}
	rs.byToken[token] = r
	return token
}

// claim hands over what the same user has reserved.
func (rs *reservations) claim(token [8]byte, user string) (*reserved, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.byToken[token]
	if r == nil || r.user != user {
		return nil, errNoToken
	}
	r.timer.Stop()
	delete(rs.byToken, token)
	return r, nil
}

// cancel drops one, if it is there.
func (rs *reservations) cancel(token [8]byte, user string) {
	if kept, err := rs.claim(token, user); err == nil {
		kept.drop()
	}
}

// drop drops those of a user.
func (rs *reservations) drop(of func(user string) bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for token, r := range rs.byToken {
		if of(r.user) {
			r.timer.Stop()
			delete(rs.byToken, token)
			r.drop()
		}
	}
}

func (rs *reservations) close() {
	rs.drop(func(string) bool { return true })
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.closed = true
}

func (rs *reservations) count() int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return len(rs.byToken)
}

func (r *reserved) drop() {
	r.socket.Close()
	r.server.allocations.release(r.user, 1)
}
