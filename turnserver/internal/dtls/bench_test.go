package dtls

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	pion "github.com/pion/dtls/v3"
)

// sink is a socket that sends nothing.
type sink struct{}

func (sink) LocalAddr() netip.AddrPort                 { return server }
func (sink) WriteTo(p []byte, to netip.AddrPort) error { return nil }

// BenchmarkStranger is what a packet costs that comes to nothing.
func BenchmarkStranger(b *testing.B) {
	l, err := New(&Config{Certificate: fixed(newCertificate(b)), Handle: echo})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	from := netip.MustParseAddrPort("198.51.100.1:1000")
	first := aHello("alice")
	h, _ := parseHello(first)
	good := l.cookies.desk().cookie(tuple{server, from}, &h, period(time.Now().Add(time.Second)))
	for _, c := range []struct {
		name string
		p    []byte
	}{
		{"hello", first},
		{"bad cookie", someHello("alice", 1, 1, make([]byte, cookieLen))},
		{"good cookie", someHello("alice", 1, 1, good[:])},
		{"malformed", first[:len(first)-1]},
		{"other", record(typeApplicationData, 1, make([]byte, 100)...)},
	} {
		b.Run(c.name, func(b *testing.B) {
			if c.name == "good cookie" {
				l.admission.sessions = l.cfg.MaxSessions // no room
				defer func() { l.admission.sessions = 0 }()
			}
			b.ReportAllocs()
			for b.Loop() {
				l.receive(sink{}, from, c.p)
			}
		})
	}
}

// BenchmarkHandshake is what both sides of one cost, on sockets of this machine.
func BenchmarkHandshake(b *testing.B) {
	_, addresses := served(b, &Config{
		Certificate: fixed(newCertificate(b)), Handle: echo, Handshakes: unlimited, HandshakesPerNetwork: unlimited,
	}, 1)
	for b.Loop() {
		socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		c, err := pion.ClientWithOptions(socket, net.UDPAddrFromAddrPort(addresses[0]),
			pion.WithInsecureSkipVerify(true), pion.WithLoggerFactory(silence()))
		if err != nil {
			b.Fatal(err)
		}
		if err := c.HandshakeContext(context.Background()); err != nil {
			b.Fatal(err)
		}
		fmt.Fprint(c, "hello")
		c.Close()
	}
}
