package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slowAddr is a connection whose other end is not known before it is closed.
type slowAddr struct {
	net.Conn
	closed context.Context
	close  func()
}

func newSlowAddr(nc net.Conn) slowAddr {
	closed, cancel := context.WithCancel(context.Background())
	return slowAddr{nc, closed, cancel}
}

func (c slowAddr) RemoteAddr() net.Addr { <-c.closed.Done(); return c.Conn.RemoteAddr() }
func (c slowAddr) Close() error         { c.close(); return c.Conn.Close() }

// Close leaves no goroutine, whatever the connections are at: a bubble does not end before they have.
func TestCloseEndsAll(t *testing.T) {
	id := newIdentity(t)
	for name, begin := range map[string]func(p *port) net.Conn{
		"PROXY header": func(p *port) net.Conn {
			ours, theirs := net.Pipe()
			p.pipes.conns <- accepted{conn: newSlowAddr(theirs)}
			return ours
		},
		"handshake":        func(p *port) net.Conn { return p.dial() },
		"first byte":       func(p *port) net.Conn { return p.greeted("") },
		"not yet accepted": func(p *port) net.Conn { return p.greeted("http/1.1") },
		"relay":            func(p *port) net.Conn { return p.greeted("stun.turn") },
		"relay by its first byte": func(p *port) net.Conn {
			nc := p.greeted("")
			nc.Write([]byte{0})
			return nc
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPort(t, id)
				nc := begin(p)
				synctest.Wait()
				start := time.Now()
				for range 2 {
					if err := p.Close(); err != nil {
						t.Errorf("close: %v", err)
					}
				}
				p.Wait()
				if took := time.Since(start); took != 0 {
					t.Errorf("closing took %v", took)
				}
				if _, err := io.Copy(io.Discard, nc); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("the client's connection ends with %v", err)
				}
				if _, err := p.Accept(); err != net.ErrClosed {
					t.Errorf("accept: got %v, want %v", err, net.ErrClosed)
				}
			})
		})
	}
}

// greeted is a client after the handshake.
func (p *port) greeted(protocols string) *tls.Conn {
	p.t.Helper()
	nc := p.secure(p.dial(), strings.Fields(protocols)...)
	if err := nc.Handshake(); err != nil {
		p.t.Fatal(err)
	}
	return nc
}

// What the relay leaves open is closed when it returns.
func TestRelayReturns(t *testing.T) {
	id := newIdentity(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPort(t, id)
		p.o.Relay = func(net.Conn) {}
		nc := p.greeted("stun.turn")
		if _, err := nc.Read(make([]byte, 1)); err == nil {
			t.Error("a connection that the relay has returned from is open")
		}
		synctest.Wait()
		if n := len(p.open); n != 0 {
			t.Errorf("%d connections are remembered", n)
		}
		p.Close()
		p.Wait()
	})
}

func TestDeadlinesAreLeftToTheServers(t *testing.T) {
	id := newIdentity(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPort(t, id)
		for _, offer := range []string{"stun.turn", ""} {
			nc := p.greeted(offer)
			if offer == "" {
				io.WriteString(nc, "\x00")
			}
			time.Sleep(2 * defaultShareTimeout) // of the bubble's clock
			if got := talk(nc, "\x03\x00\x00"); !strings.HasPrefix(got, "relay ") {
				t.Errorf("%q: got %q, want the relay", offer, got)
			}
		}
		p.Close()
		p.Wait()
	})
}

// Errors of the port are for whoever accepts; afterwards it goes on.
func TestAcceptErrors(t *testing.T) {
	id := newIdentity(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPort(t, id)
		full := errors.New("no descriptors")
		p.pipes.conns <- accepted{err: full}
		if _, err := p.Accept(); err != full {
			t.Errorf("accept: got %v, want %v", err, full)
		}
		nc := p.greeted("http/1.1")
		if got, err := p.Accept(); err != nil {
			t.Errorf("accept: %v", err)
		} else {
			got.Close()
		}
		io.Copy(io.Discard, nc)
		p.Close()
		p.Wait()
	})
}

func TestFaultInAHandshake(t *testing.T) {
	id := newIdentity(t)
	config := id.server.Clone()
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("boom") }
	synctest.Test(t, func(t *testing.T) {
		p := newPort(t, identity{config, id.roots})
		if err := p.secure(p.dial()).Handshake(); err == nil {
			t.Error("the handshake has gone well")
		}
		synctest.Wait()
		if got := p.log.String(); !strings.Contains(got, "boom") {
			t.Errorf("log says %q, want the fault", got)
		}
		p.Close()
		p.Wait()
	})
}
