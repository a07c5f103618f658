package peer

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pion/turn/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// stunFrame is a STUN message with n bytes of attributes.
func stunFrame(n int) []byte {
	frame := make([]byte, 20+n)
	binary.BigEndian.PutUint16(frame, 0x0001)
	binary.BigEndian.PutUint16(frame[2:], uint16(n))
	binary.BigEndian.PutUint32(frame[4:], 0x2112A442)
	return frame
}

// channelFrame is ChannelData with n bytes, padded.
func channelFrame(n int) []byte {
	frame := make([]byte, 4+(n+3)&^3)
	binary.BigEndian.PutUint16(frame, 0x4001)
	binary.BigEndian.PutUint16(frame[2:], uint16(n))
	return frame
}

// stubConn is a connection that the given bytes come from.
type stubConn struct {
	net.Conn
	io.Reader
	closed bool
}

func (c *stubConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }
func (c *stubConn) Close() error               { c.closed = true; return nil }

func TestFrameConn(t *testing.T) {
	spins := stunFrame(0)
	binary.BigEndian.PutUint16(spins[2:], 0xFFEC)
	tests := []struct {
		name   string
		stream []byte
		passes int // bytes
		fault  bool
	}{
		{"STUN", stunFrame(8), 28, false},
		{"ChannelData", channelFrame(5), 12, false},
		{"empty ChannelData", channelFrame(0), 4, false},
		{"several", append(append(stunFrame(0), channelFrame(100)...), stunFrame(4)...), 148, false},
		{"largest", stunFrame(maxRelayFrame - 20), maxRelayFrame, false},
		{"too large", stunFrame(maxRelayFrame - 16), 0, true},
		{"too large ChannelData", channelFrame(maxRelayFrame), 0, true},
		{"the length that spins", spins, 0, true},
		{"odd STUN length", append([]byte{0, 1, 0, 3}, stunFrame(0)[4:]...), 0, true},
		{"no magic cookie", make([]byte, 20), 0, true},
		{"neither", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), 0, true},
		{"channel above 0x4FFF", []byte{0x50, 0, 0, 0}, 0, true},
		{"cut off", stunFrame(8)[:20], 0, false},
		{"good, then bad", append(stunFrame(0), spins...), 20, true},
	}
	for _, tt := range tests {
		stub := &stubConn{Reader: bytes.NewReader(tt.stream)}
		got, err := io.ReadAll(newFrameConn(stub, &guard{}))
		if len(got) != tt.passes || !bytes.HasPrefix(tt.stream, got) || (err != nil && err != io.EOF) != tt.fault {
			t.Errorf("%s: %d bytes and %v, want %d and a fault: %v", tt.name, len(got), err, tt.passes, tt.fault)
		}
		if !stub.closed {
			t.Errorf("%s: the connection stays open", tt.name)
		}
	}
}

// Whatever a relay sends, only whole frames pass.
func FuzzFrameConn(f *testing.F) {
	f.Add(append(stunFrame(8), channelFrame(5)...), 7)
	f.Add([]byte{0, 1, 0xFF, 0xEC, 0x21, 0x12, 0xA4, 0x42}, 1)
	f.Add(channelFrame(4000), 4096)
	f.Fuzz(func(t *testing.T, stream []byte, step int) {
		if step < 1 || step > 1<<16 {
			return
		}
		c := newFrameConn(&stubConn{Reader: bytes.NewReader(stream)}, &guard{})
		var got []byte
		buf := make([]byte, step)
		for {
			n, err := c.Read(buf)
			got = append(got, buf[:n]...)
			if err != nil {
				break
			}
		}
		if !bytes.HasPrefix(stream, got) {
			t.Fatal("bytes were changed")
		}
		for len(got) > 0 {
			size, err := relayFrameSize(got[:min(8, len(got))])
			if err != nil || size > len(got) || size > maxRelayFrame {
				t.Fatalf("a frame of %d bytes, %v, in %d that passed", size, err, len(got))
			}
			got = got[size:]
		}
	})
}

// testCA returns a certificate for localhost and 127.0.0.1, and the pool that it
// can be checked with.
func testCA(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// startStreamRelay starts a TURN server on the loopback interface over TCP, with
// TLS if there is a certificate, and returns its address.
func startStreamRelay(t testing.TB, cert *tls.Certificate) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if cert != nil {
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{*cert}})
	}
	cfg := relayConfig()
	cfg.ListenerConfigs = []turn.ListenerConfig{{Listener: listener, RelayAddressGenerator: relayAddresses()}}
	startTURN(t, cfg)
	return address
}

func TestRelayOverStreams(t *testing.T) {
	cert, pool := testCA(t)
	trusts := func(c *Config) { c.TLSConfig = &tls.Config{RootCAs: pool, ServerName: "signaling.example.com"} }
	tests := []struct {
		name, url string
	}{
		{"TCP", "turn:" + startStreamRelay(t, nil) + "?transport=tcp"},
		{"TLS", "turns:" + startStreamRelay(t, &cert) + "?transport=tcp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			s.ice = []protocol.ICEServer{relayEntry(tt.url)}
			a, b := connect(t, s.join("alice", relayOnly, trusts), s.join("bob", relayOnly, trusts))
			wantChat(t, a, b)
			if p := a.Path(); !p.Relayed {
				t.Errorf("path %v, want a relay", p)
			}
		})
	}
}

func TestRelayDialerChecksTheCertificate(t *testing.T) {
	cert, pool := testCA(t)
	address := startStreamRelay(t, &cert)
	dial := func(address string, trusted *x509.CertPool) error {
		cfg := &Config{TLSConfig: &tls.Config{RootCAs: trusted}}
		d := &relayDialer{context.Background(), cfg, map[string]bool{address: true}, &relayConns{}, &guard{}}
		conn, err := d.Dial("tcp4", address)
		if err == nil {
			conn.Close()
		}
		return err
	}
	if err := dial(address, pool); err != nil {
		t.Errorf("a relay that is trusted: %v", err)
	}
	if err := dial(strings.Replace(address, "127.0.0.1", "localhost", 1), pool); err != nil {
		t.Errorf("a relay that is trusted, by name: %v", err)
	}
	if err := dial(address, nil); err == nil {
		t.Error("a relay whose CA is unknown was taken")
	}
	if err := dial(strings.Replace(address, "127.0.0.1", "127.0.0.2", 1), pool); err == nil {
		t.Error("a relay of another name was taken")
	}
}

// A relay that is not there does not hold up the end of a call.
func TestSilentRelay(t *testing.T) {
	datagrams, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	streams, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer streams.Close()
	s := newFakeServer(t)
	s.ice = []protocol.ICEServer{
		relayEntry("turn:" + datagrams.LocalAddr().String() + "?transport=udp"),
		relayEntry("turn:" + streams.Addr().String() + "?transport=tcp"),
		relayEntry("turns:" + streams.Addr().String() + "?transport=tcp"),
	}
	a, b := connect(t, s.join("alice"), s.join("bob"))
	wantChat(t, a, b)
	ctx, cancel := context.WithTimeout(testContext(t), 7*time.Second) // pion's own patience is 8 s
	defer cancel()
	for _, call := range []*Call{a, b} {
		if err := call.Hangup(ctx, ""); err != nil {
			t.Errorf("%s: %v", call.client.User(), err)
		}
	}
}
