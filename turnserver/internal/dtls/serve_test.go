package dtls

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/udp"

	pion "github.com/pion/dtls/v3"
)

// served serves a Listener on sockets of this machine, until the test ends, and returns their addresses.
func served(t testing.TB, cfg *Config, sockets int) (*Listener, []netip.AddrPort) {
	t.Helper()
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var addresses []netip.AddrPort
	ended := make(chan error, sockets)
	for range sockets {
		s, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), nil)
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, s.LocalAddr())
		go func() { ended <- l.Serve(s) }()
		t.Cleanup(func() {
			s.Close()
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Serve ended with %v, want %v", err, net.ErrClosed)
			}
		})
	}
	t.Cleanup(func() { l.Close() }) // before the sockets are closed
	return l, addresses
}

// TestServe: one Listener, several sockets, one client's socket at all of them.
func TestServe(t *testing.T) {
	_, addresses := served(t, &Config{Certificate: fixed(newCertificate(t)), Handle: echo}, 2)
	for _, at := range addresses {
		socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		c, err := pion.ClientWithOptions(socket, net.UDPAddrFromAddrPort(at),
			pion.WithInsecureSkipVerify(true), pion.WithLoggerFactory(silence()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatalf("at %v: %v", at, err)
		}
		b := make([]byte, maxPacket)
		if n, err := c.Read(b); err != nil || string(b[:n]) != "hello" {
			t.Errorf("at %v: read %q, %v, want hello", at, b[:n], err)
		}
	}
}
