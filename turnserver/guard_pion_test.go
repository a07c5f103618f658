package turnserver

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

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
			return wantLifetime(s.allocated("alice").askSigned(stun.MethodRefresh, lifetime(7200)), 3540)
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

// The 20 bytes that make the library's framer spin end the connection that sends them, and nothing else.
func TestTwentyBytes(t *testing.T) {
	ts := newTestServer(t, withTLS(t, everywhere))
	spin := append([]byte{0, 1, 0xFF, 0xEC, 0x21, 0x12, 0xA4, 0x42}, make([]byte, 12)...)
	for _, transport := range []Transport{TCP, TLS} {
		c := ts.over(transport, "mallory")
		c.write(spin)
		c.conn.SetReadDeadline(time.Now().Add(patience))
		if n, err := c.conn.Read(make([]byte, 100)); err == nil || isTimeout(err) {
			t.Errorf("%v: got %d bytes, %v, want the connection closed", transport, n, err)
		}
	}
	c := ts.over(DTLS, "mallory")
	c.write(spin)
	for _, transport := range []Transport{UDP, TCP, TLS, DTLS} {
		ts.over(transport, "alice").allocate()
	}
	if got := ts.Stats().Allocations; got != 4 {
		t.Errorf("got %d allocations, want 4", got)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(interface{ Timeout() bool })
	return ok && timeout.Timeout()
}
