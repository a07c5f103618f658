package turnserver

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// A packet from one socket to another through the relay, both ends' system calls included: what sound and what video is
// made of. Figures beside another server's are `make bench-turn`'s.
func BenchmarkRelay(b *testing.B) {
	for _, load := range []struct{ size, burst int }{{172, 1}, {1200, 8}} {
		b.Run(fmt.Sprintf("up/%dx%d", load.burst, load.size), func(b *testing.B) {
			bench := newRelayBench(b, load.size, load.burst)
			bench.run(bench.client.conn, netip.AddrPort{}, channelData(0x4000, bench.text), bench.peer.UDPConn)
		})
		b.Run(fmt.Sprintf("down/%dx%d", load.burst, load.size), func(b *testing.B) {
			bench := newRelayBench(b, load.size, load.burst)
			bench.run(bench.peer.UDPConn, bench.client.relayed, bench.text, bench.client.conn)
		})
		b.Run(fmt.Sprintf("relay-to-relay/%dx%d", load.burst, load.size), func(b *testing.B) {
			bench := newRelayBench(b, load.size, load.burst)
			bench.run(bench.client.conn, netip.AddrPort{}, channelData(0x4001, bench.text), bench.other.conn)
		})
	}
}

// relayBench is a client with channels to a peer and to another client of the relay.
type relayBench struct {
	b             *testing.B
	client, other *testClient
	peer          *peer
	text          string
	burst         int
}

func newRelayBench(b *testing.B, size, burst int) *relayBench {
	ts := newTestServer(b, func(cfg *Config) { cfg.Allow, cfg.UserBandwidth = allow(b, "127.0.0.2/32"), -1 })
	r := &relayBench{
		b: b, client: ts.allocated("alice"), other: ts.allocated("bob"), peer: newPeer(b, "127.0.0.2"),
		text: strings.Repeat("x", size), burst: burst,
	}
	for number, to := range map[uint16]netip.AddrPort{0x4000: r.peer.addr, 0x4001: r.other.relayed} {
		if code := errorCode(r.client.bindChannel(number, to)); code != 0 {
			b.Fatalf("bind a channel to %v: error %d", to, code)
		}
	}
	if code := errorCode(r.other.bindChannel(0x4000, r.client.relayed)); code != 0 {
		b.Fatalf("bind a channel to %v: error %d", r.client.relayed, code)
	}
	return r
}

// run sends message from one socket, and waits until the burst has come to the other.
func (r *relayBench) run(from net.Conn, to netip.AddrPort, message string, at net.Conn) {
	raw, buffer := []byte(message), make([]byte, 2048)
	at.SetReadDeadline(time.Now().Add(time.Minute))
	r.b.SetBytes(int64(len(r.text)))
	r.b.ReportAllocs()
	for sent := 0; r.b.Loop(); {
		if sent++; sent%r.burst != 0 {
			continue
		}
		for range r.burst {
			r.send(from, to, raw)
		}
		for range r.burst {
			if _, err := at.Read(buffer); err != nil {
				r.b.Fatal(err)
			}
		}
	}
}

func (r *relayBench) send(from net.Conn, to netip.AddrPort, raw []byte) {
	var err error
	if to.IsValid() {
		_, err = from.(*net.UDPConn).WriteToUDPAddrPort(raw, to)
	} else {
		_, err = from.Write(raw)
	}
	if err != nil {
		r.b.Fatal(err)
	}
}
