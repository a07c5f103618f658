package peer

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

const (
	relayDialTimeout = 10 * time.Second
	maxRelayFrame    = 4096 // bytes of one message from a relay, header included
)

// relayDialer opens the TCP connections to relays for pion, which asks it by
// address only and expects a stream that is ready for TURN: it adds no TLS.
type relayDialer struct {
	ctx context.Context
	cfg *Config
	tls map[string]bool // host:port -> it is the address of a turns: URL

	relays *relayConns
	guard  *guard
}

// Dial connects to a relay, with TLS where its URL said turns:.
func (d *relayDialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, relayDialTimeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if d.tls[address] {
		if conn, err = d.handshake(ctx, conn, address); err != nil {
			return nil, err
		}
	}
	framed := newFrameConn(conn, d.guard)
	d.relays.add(framed)
	return framed, nil
}

func (d *relayDialer) handshake(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		conn.Close()
		return nil, err
	}
	settings := d.cfg.tlsConfig(host)
	settings.ServerName = host // TLSConfig names the signaling server
	settings.Certificates, settings.GetClientCertificate = nil, nil
	secure := tls.Client(conn, settings)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("relay %s: %w", address, err)
	}
	return secure, nil
}

// frameConn lets whole TURN messages pass and nothing else. The client behind it
// computes lengths in 16 bits and would spin for ever on a STUN header that says
// 0xFFEC bytes.
type frameConn struct {
	net.Conn
	in      *bufio.Reader
	left    int // bytes of the current frame that were not read yet
	relayed relayed
	got     atomic.Bool
}

func (c *frameConn) heard() bool { return c.got.Load() }

func newFrameConn(conn net.Conn, g *guard) *frameConn {
	return &frameConn{Conn: conn, in: bufio.NewReaderSize(conn, maxRelayFrame), relayed: relayed{guard: g}}
}

// Read returns bytes of one frame, once all of it has arrived.
func (c *frameConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		size, err := c.nextFrame()
		if err != nil {
			c.Conn.Close()
			return 0, err
		}
		c.left = size
		c.got.Store(true)
	}
	n, err := c.in.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// Write sends one frame: pion writes each at once.
func (c *frameConn) Write(p []byte) (int, error) {
	if !c.relayed.outgoing(p) {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// nextFrame waits for the next frame that the guard does not refuse.
func (c *frameConn) nextFrame() (size int, err error) {
	for {
		if size, err = c.peekFrame(); err != nil {
			return 0, err
		}
		if frame, _ := c.in.Peek(size); c.relayed.incoming(frame) {
			return size, nil
		}
		if _, err = c.in.Discard(size); err != nil {
			return 0, err
		}
	}
}

func (c *frameConn) peekFrame() (size int, err error) {
	head, err := c.in.Peek(4)
	if err != nil {
		return 0, err
	}
	if head[0]&0xC0 == 0 { // STUN (RFC 8489, section 5)
		if head, err = c.in.Peek(8); err != nil {
			return 0, err
		}
	}
	if size, err = relayFrameSize(head); err != nil {
		return 0, err
	}
	_, err = c.in.Peek(size)
	return size, err
}

var errRelayFrame = errors.New("relay sent neither STUN nor ChannelData")

// relayFrameSize returns the length on a stream of the message that starts with
// head: 8 bytes of a STUN message, or 4 of ChannelData, which is padded to a
// multiple of 4 (RFC 8656, section 12.5).
func relayFrameSize(head []byte) (int, error) {
	const stunHeader, channelHeader, magicCookie = 20, 4, 0x2112A442
	kind, length := binary.BigEndian.Uint16(head), int(binary.BigEndian.Uint16(head[2:]))
	size := 0
	switch {
	case kind < 0x4000 && length%4 == 0 && len(head) >= 8 && binary.BigEndian.Uint32(head[4:]) == magicCookie:
		size = stunHeader + length
	case kind >= 0x4000 && kind < 0x5000:
		size = channelHeader + (length+3)&^3
	default:
		return 0, errRelayFrame
	}
	if size > maxRelayFrame {
		return 0, fmt.Errorf("relay sent a message of %d bytes, more than %d", size, maxRelayFrame)
	}
	return size, nil
}
