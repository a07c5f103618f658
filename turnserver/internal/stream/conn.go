package stream

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/listen"
)

// Conn is a connection that carries TURN messages. Its goroutine, which called Handle, reads; all but ReadMessage can
// be called from any goroutine, and after the connection has ended, too.
type Conn struct {
	// set at construction
	acceptor  *Acceptor
	raw       net.Conn // whose Close never waits
	accepted  time.Time
	datagrams bool // each read and each write is one message

	// set before Handle is called
	nc       net.Conn // raw, or TLS on it
	client   netip.AddrPort
	local    netip.AddrPort
	deadline deadline
	out      outbox

	in reader // owned by the goroutine that reads

	slot *limit.Slot // guarded by acceptor.mu once Handle is called; nil: there is an allocation

	mu    sync.Mutex
	cause error // guarded by mu; why this side has closed raw
}

// start makes the connection ready to read and write.
func (c *Conn) start() {
	limits := c.acceptor.limits
	c.deadline.nc, c.deadline.timeout, c.deadline.login = c.nc, limits.LoginTimeout, c.accepted.Add(limits.LoginTimeout)
	// With TLS a message is a record: there are clients, coturn's among them, that read no second one out of a record.
	_, secured := c.nc.(interface{ ConnectionState() tls.ConnectionState })
	c.out.nc, c.out.datagrams, c.out.records = c.nc, c.datagrams, c.datagrams || secured
	c.out.max, c.out.timeout = c.maxQueue(false), limits.WriteTimeout
	c.out.write, c.out.failed = c.out.loop, c.fault
	size := idleBuffer
	if c.datagrams {
		size = datagram
	}
	c.in = newReader(size)
}

// maxQueue is how much may wait to be written: to a stranger no more than some answers, without an allocation there is
// nothing else.
func (c *Conn) maxQueue(kept bool) int {
	if kept {
		return c.acceptor.limits.MaxQueue
	}
	return min(c.acceptor.limits.MaxQueue, strangersQueue)
}

// Client returns the client's address: the one that the PROXY header told, else the socket's other end.
func (c *Conn) Client() netip.AddrPort { return c.client }

// Local returns the address that the socket is bound to.
func (c *Conn) Local() netip.AddrPort { return c.local }

// Keep says whether the client has an allocation. With one, the connection may be idle, its messages may be long, and it
// does not count at its address any more; it has to be called before the client is told of the allocation. Without one,
// as at first, there has to be one within LoginTimeout.
func (c *Conn) Keep(kept bool) {
	if c.deadline.keep(kept) {
		c.out.bound(c.maxQueue(kept))
		c.acceptor.recount(c, c.acceptor.countedAt(c))
	}
}

// Send queues one message and reports whether there was room; if not it is dropped. The message is head followed by
// body; either may be empty, and both are copied. It is STUN as a whole, or ChannelData without padding, which is added
// where it is needed. Send never waits.
func (c *Conn) Send(head, body []byte) bool { return c.out.add(head, body) }

// Close ends the connection at once: what waits to be written is lost, ReadMessage returns net.ErrClosed. It waits
// until nothing is written any more, and does not wait for the client. Later calls do nothing.
func (c *Conn) Close() error {
	c.fault(net.ErrClosed)
	c.out.writer.Wait()
	return nil
}

// fail notes why the connection ends; the first cause counts, and is returned.
func (c *Conn) fail(cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = cause
	}
	return c.cause
}

// fault ends the connection because of err.
func (c *Conn) fault(err error) {
	c.fail(err)
	c.cut()
}

// evict ends the connection so that another one has its slot.
func (c *Conn) evict(why limit.Reason) {
	c.fault(refuse(Reason(why.String()), "closed to make room for a newer connection"))
}

// cut wakes whoever reads and writes. It never waits.
func (c *Conn) cut() {
	c.out.close()
	c.raw.Close()
}

// end closes the connection in its own goroutine, which may wait: a TLS client is told, if it takes it.
func (c *Conn) end() {
	c.out.close()
	c.nc.Close()
	c.Close()
}

// addrPort returns the address of a socket as listen.HostAddr does, with its port.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	if socket, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		ap = socket.AddrPort()
	} else if a != nil {
		ap, _ = netip.ParseAddrPort(a.String()) // without one: zero
	}
	return netip.AddrPortFrom(listen.HostAddr(a), ap.Port())
}
