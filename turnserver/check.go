package turnserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"
)

// ErrDraining is what Check says of a server that opens nothing new.
var ErrDraining = errors.New("the relay is draining")

// checkResend is after how long Check sends again what was not answered.
const checkResend = 500 * time.Millisecond

// Check relays a packet through the server, as a client over UDP does: it allocates, sends itself a packet at its relayed
// address, and ends the allocation. It returns nil if the packet came back. It needs Serve to run, and one place for an
// allocation; without a deadline in ctx it may wait for ever.
func (s *Server) Check(ctx context.Context) error {
	if s.guard.alternate.Load() != nil {
		return ErrDraining
	}
	addrs := s.Addrs(UDP)
	if len(addrs) == 0 {
		return errors.New("check relay: this machine has no address at which UDP is served")
	}
	at := addrs[0]
	conn, err := new(net.Dialer).DialContext(ctx, "udp", at.String())
	if err != nil {
		return fmt.Errorf("check relay: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	from := unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort())
	s.guard.strangers.excepted.Store(from, true) // whatever others ask
	defer func() {
		s.guard.strangers.excepted.Delete(from)                                                   // what opens from now on ends at once
		if a := s.allocations.of(fiveTuple{client: from, server: at, transport: UDP}); a != nil { // it did not come to its end
			a.end()
		}
	}()
	p := &probe{ctx: ctx, conn: conn, user: s.auth.probe, realm: s.Realm}
	if err := p.run(); err != nil {
		return fmt.Errorf("check relay at %v: %w", at, errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

// probe is Check's client.
type probe struct {
	ctx   context.Context
	conn  net.Conn
	user  probeUser
	realm string
	nonce string
}

// probeUser is the static user that Check is.
type probeUser struct{ name, password string }

func newProbeUser() probeUser { return probeUser{name: "check " + rand.Text(), password: rand.Text()} }

func (p *probe) run() error {
	response, err := p.request(stun.MethodAllocate, stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}},
		stun.RawAttribute{Type: stun.AttrRequestedAddressFamily, Value: []byte{p.familyNumber(), 0, 0, 0}})
	if err != nil {
		return err
	}
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(response, stun.AttrXORRelayedAddress); err != nil {
		return fmt.Errorf("allocate: %w", err)
	}
	self := peerAttribute(netip.AddrPortFrom(addrOf(relayed.IP), uint16(relayed.Port)))
	if _, err := p.request(stun.MethodCreatePermission, self); err != nil {
		return err
	}
	payload := []byte(rand.Text())
	send := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), self,
		stun.RawAttribute{Type: stun.AttrData, Value: payload})
	if _, err := p.exchange(send.Raw, func(m *stun.Message) bool {
		data, err := m.Get(stun.AttrData)
		return err == nil && bytes.Equal(data, payload)
	}); err != nil {
		return fmt.Errorf("relay a packet: %w", err)
	}
	_, err = p.request(stun.MethodRefresh, lifetimeOf(0))
	return err
}

// familyNumber is that of the address through which the server is reached (RFC 8656 section 18.8).
func (p *probe) familyNumber() byte {
	if familyOf(unmap(p.conn.RemoteAddr().(*net.UDPAddr).AddrPort()).Addr()) == ipv6 {
		return 2
	}
	return 1
}

// request makes a request, signed once the server has told its nonce, and returns the success response.
func (p *probe) request(method stun.Method, attributes ...stun.Setter) (*stun.Message, error) {
	for range 2 {
		setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
		if p.nonce != "" {
			setters = append(setters, stun.NewUsername(p.user.name), stun.NewRealm(p.realm), stun.NewNonce(p.nonce),
				stun.NewLongTermIntegrity(p.user.name, p.realm, p.user.password))
		}
		m := stun.MustBuild(setters...)
		response, err := p.exchange(m.Raw, func(r *stun.Message) bool { return r.TransactionID == m.TransactionID })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", method, err)
		}
		if response.Type.Class == stun.ClassSuccessResponse {
			return response, nil
		}
		var code stun.ErrorCodeAttribute
		var nonce stun.Nonce
		if code.GetFrom(response) != nil || nonce.GetFrom(response) != nil {
			return nil, fmt.Errorf("%s is refused: %v", method, code)
		}
		p.nonce = nonce.String()
	}
	return nil, fmt.Errorf("%s is not authenticated", method)
}

// exchange sends a message, again and again, until one comes back that is wanted.
func (p *probe) exchange(message []byte, wanted func(*stun.Message) bool) (*stun.Message, error) {
	buffer := make([]byte, 2048)
	for {
		if _, err := p.conn.Write(message); err != nil {
			return nil, err
		}
		if err := p.conn.SetReadDeadline(time.Now().Add(checkResend)); err != nil {
			return nil, err
		}
		for {
			n, err := p.conn.Read(buffer)
			if p.ctx.Err() != nil {
				return nil, errors.New("no answer")
			}
			if err != nil {
				break // not there yet: once more
			}
			m := &stun.Message{Raw: bytes.Clone(buffer[:n])}
			if m.Decode() == nil && wanted(m) {
				return m, nil
			}
		}
	}
}
