package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/listen"
)

// maxAcceptPause is how long Serve waits at most before it accepts again after an error.
const maxAcceptPause = time.Second

// Acceptor turns accepted connections into Conns, and bounds them. Its fields are set before its first method is
// called; then its methods can be called at the same time.
type Acceptor struct {
	Limits

	// Pending bounds the connections without an allocation; it can be that of several Acceptors. When it
	// is full, older connections are closed so that newer ones have a chance. Nil: NewPending(0, nil).
	Pending *limit.Pending

	// TLS is the configuration for connections from Serve, used as it is. With DynamicRecordSizingDisabled all that
	// waits goes out in one record, from the first one on. Nil: plain TCP.
	TLS *tls.Config

	// Proxies says which connections from Serve begin with a PROXY header. Nil: none.
	Proxies *listen.Proxies

	// Log gets trusted proxies' faults and what keeps Serve from accepting as warnings; each connection's end at
	// level Debug. Nil: nothing is logged.
	Log *slog.Logger

	// Handle is called for each connection, in a goroutine of its own. When it returns, the connection is closed. It
	// must be set.
	Handle func(*Conn)

	once   sync.Once
	limits Limits
	log    *slog.Logger
	admission
}

func (a *Acceptor) init() {
	a.once.Do(func() {
		if a.Handle == nil {
			panic("stream: an Acceptor has no Handle")
		}
		a.limits = a.Limits.withDefaults()
		a.log = a.Log
		if a.log == nil {
			a.log = slog.New(slog.DiscardHandler)
		}
		a.admission.init(a.Pending, &a.limits)
	})
}

// Serve accepts connections until l is closed, and returns net.ErrClosed; it does not close l. Other errors, such as
// too few descriptors, are waited out.
func (a *Acceptor) Serve(l net.Listener) error {
	a.init()
	var pause time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return net.ErrClosed
		case err != nil:
			pause = min(max(2*pause, 5*time.Millisecond), maxAcceptPause)
			a.log.Warn("connections are not accepted", "addr", l.Addr(), "err", err, "pause", pause)
			a.wait(pause)
			continue
		}
		pause = 0
		if c := a.admit(nc, false); c != nil {
			go a.begin(c)
		}
	}
}

// ServeConn serves a connection that another listener has accepted, whose PROXY header is read and whose handshake is
// done, until it ends. It counts like those from Serve.
func (a *Acceptor) ServeConn(nc net.Conn) { a.serve(nc, false) }

// ServeMessages is ServeConn for a connection that keeps the boundaries of messages, as DTLS does: each read and each
// write is one message.
func (a *Acceptor) ServeMessages(nc net.Conn) { a.serve(nc, true) }

func (a *Acceptor) serve(nc net.Conn, datagrams bool) {
	a.init()
	if c := a.admit(nc, datagrams); c != nil {
		a.handle(c, nil)
	}
}

// Close closes all connections, and waits for their goroutines; those that come later are closed at once. Listeners
// are closed before by who opened them.
func (a *Acceptor) Close() error {
	a.init()
	for _, c := range a.shut() {
		c.fault(net.ErrClosed)
	}
	a.running.Wait()
	return nil
}

// admit returns the connection if there is a slot for it, else it closes it.
func (a *Acceptor) admit(nc net.Conn, datagrams bool) *Conn {
	c := &Conn{acceptor: a, raw: nc, nc: nc, datagrams: datagrams, accepted: time.Now()}
	c.client, c.local = addrPort(nc.RemoteAddr()), addrPort(nc.LocalAddr())
	if over, ok := nc.(interface{ NetConn() net.Conn }); ok && !datagrams { // TLS, whose own Close may wait
		c.raw = over.NetConn()
	}
	if !a.enter(c, a.countedAt(c)) {
		nc.Close()
		return nil
	}
	return c
}

// begin is the goroutine of a connection until messages come. Those are left to another one: the handshake has grown
// the stack of this one.
func (a *Acceptor) begin(c *Conn) {
	err := a.greet(c)
	go a.handle(c, err)
}

// handle serves a connection, if there is no error, and ends it.
func (a *Acceptor) handle(c *Conn, err error) {
	defer a.finish(c)
	if err != nil {
		c.fail(err)
		return
	}
	c.start()
	a.Handle(c)
}

func (a *Acceptor) finish(c *Conn) {
	cause := c.fail(net.ErrClosed)
	c.end()
	if reason, refused := reasonOf(cause); refused {
		a.log.Debug("connection ended", "client", c.client, "reason", reason, "err", cause)
	}
	a.leave(c, cause)
}

// greet reads what comes before the first message.
func (a *Acceptor) greet(c *Conn) error {
	if peer := c.client.Addr(); a.Proxies.Expects(peer) {
		client, rest, err := listen.ReadPROXY(c.nc)
		if err != nil {
			return a.badHeader(peer, err)
		}
		if len(rest) > 0 {
			c.nc = &prefixed{c.nc, rest}
		}
		if err := a.speakFor(c, client); err != nil {
			return err
		}
	}
	if a.TLS == nil {
		return nil
	}
	return a.handshake(c)
}

func (a *Acceptor) badHeader(proxy netip.Addr, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return err // a proxy that only looks whether we are there, or our own end
	}
	a.log.Warn("connection of a trusted proxy refused", "addr", proxy, "err", err)
	return &refusal{BadProxyHeader, err}
}

// speakFor makes c a connection of its proxy's client. One of which the proxy does not say whose it is
// stays the proxy's.
func (a *Acceptor) speakFor(c *Conn, client netip.AddrPort) error {
	if !client.IsValid() {
		return nil
	}
	c.client = client
	return a.move(c, a.countedAt(c))
}

// countedAt is the address that c uses up slots of; none if it is a proxy's.
func (a *Acceptor) countedAt(c *Conn) netip.Addr {
	if addr := c.client.Addr(); !a.Proxies.Trusts(addr) {
		return addr
	}
	return netip.Addr{}
}

func (a *Acceptor) handshake(c *Conn) error {
	ctx, cancel := context.WithDeadline(context.Background(), c.accepted.Add(a.limits.LoginTimeout))
	defer cancel()
	secured := tls.Server(c.nc, a.TLS)
	switch err := secured.HandshakeContext(ctx); {
	case err == nil:
		c.nc = secured
		return nil
	case ctx.Err() != nil:
		return refuse(NoAllocation, "TLS handshake: not complete after %v", a.limits.LoginTimeout)
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return err
	default:
		return &refusal{BadHandshake, err}
	}
}

// prefixed is a connection of which the first bytes have been read.
type prefixed struct {
	net.Conn
	first []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.first) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.first)
	p.first = p.first[n:]
	return n, nil
}
