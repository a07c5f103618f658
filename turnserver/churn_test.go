package turnserver

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"
	"github.com/pion/stun/v3"
)

const (
	churnRate  = 200 // calls a second, if the machine can
	churnAlive = 64  // calls at once
	churnCalls = 320 // at least, however slow the machine: each transport ends in each way 20 times
)

// Calls come and go over all transports, and end in every way; then nothing is left of them: the process has the
// goroutines, descriptors and memory that it had after the warm-up.
func TestChurn(t *testing.T) {
	ts := newTestServer(t, withTLS(t, func(cfg *Config) { everywhere(cfg); cfg.Allow = allow(t, "127.0.0.2/32") }))
	p := newPeer(t, "127.0.0.2")
	p.echo()
	c := &churn{testServer: ts, peer: p.addr}
	c.run(warmUp, churnAlive)
	before := c.settled(held{1000, 1000, 100 << 20}) // anything
	calls, began := c.calls.Load(), time.Now()
	c.run(churnTime, churnCalls)
	calls = c.calls.Load() - calls
	t.Logf("%d calls, %.0f a second", calls, float64(calls)/time.Since(began).Seconds())
	t.Logf("before: %v", before)
	t.Logf("after: %v", c.settled(before.andSlack()))
}

// heapSlack is what the heap may differ by, in bytes, when the same is alive. Ten bytes of each call of half an hour are more.
const heapSlack = 2 << 20

// churn is the calls of TestChurn.
type churn struct {
	*testServer
	peer  netip.AddrPort // which echoes
	calls atomic.Uint64
}

// run makes calls for a time, and at least so many.
func (c *churn) run(d time.Duration, least int) {
	ticks := time.NewTicker(time.Second / churnRate)
	defer ticks.Stop()
	end := time.Now().Add(d)
	next := make(chan uint64)
	var workers sync.WaitGroup
	for range churnAlive {
		workers.Go(func() {
			for n := range next {
				c.call(n)
			}
		})
	}
	defer workers.Wait()
	defer close(next)
	for n := 0; (n < least || time.Now().Before(end)) && !c.t.Failed(); n++ {
		<-ticks.C
		c.clock.advance(time.Second / churnRate)
		next <- c.calls.Add(1)
	}
}

// call is one call: allocate, bind, send, and an end.
func (c *churn) call(n uint64) {
	transport := overAll[n%4]
	end := ends[transport][n/4%4]
	user, ip := fmt.Sprint("user", n), ip(n)
	if end == vanish {
		user, ip = "vanished", "127.0.0.3" // the quota bounds how many, and nobody else gets a port that one has left behind
	}
	client := c.from(transport, ip, user)
	if client == nil {
		return
	}
	defer client.conn.Close()
	switch code := errorCode(client.request(stun.MethodAllocate, requestedUDP)); {
	case end == vanish && (code == 486 || code == 437):
		return
	case code != 0:
		c.t.Errorf("Allocate of %s over %v: got %d", user, transport, code)
		return
	}
	client.wantOK(stun.MethodChannelBind, client.bindChannel(0x4000, c.peer))
	for range 3 {
		client.sendChannel(0x4000, user)
		client.wantText(packet{channel: 0x4000, text: user})
	}
	switch end {
	case refresh:
		client.wantOK(stun.MethodRefresh, client.request(stun.MethodRefresh, lifetime(0)))
	case kick:
		if n := c.Kick(user, c.clock.now().Add(credentialTime)); n != 1 {
			c.t.Errorf("Kick of %s over %v ended %d allocations, want 1", user, transport, n)
		}
	case reset:
		if over, ok := client.conn.(*tls.Conn); ok {
			client.conn = over.NetConn()
		}
		client.conn.(*net.TCPConn).SetLinger(0)
	}
}

// callEnd is how a call ends.
type callEnd int

const (
	refresh callEnd = iota // to 0
	closing                // of the connection
	reset                  // of the connection
	kick
	vanish // without a word, which over UDP is the allocation's until it expires
)

var ends = map[Transport][4]callEnd{
	UDP: {refresh, kick, refresh, vanish}, TCP: {refresh, kick, closing, reset}, TLS: {refresh, kick, closing, reset}, DTLS: {refresh, kick, closing, closing},
}

// credentialTime is how long a credential of a call is good, and a kick remembered.
const credentialTime = 30 * time.Second

// ip returns an address of this machine, so that no network has too many handshakes, nor an address connections.
func ip(n uint64) string { return fmt.Sprintf("127.1.%d.1", n%251) }

// from returns a client at an address of this machine, which the caller closes, or nil.
func (ts *testServer) from(transport Transport, ip, user string) *testClient {
	at := ts.Addrs(transport)[0]
	dialer := net.Dialer{Timeout: patience}
	var conn net.Conn
	var err error
	switch local := net.ParseIP(ip); transport {
	case UDP, DTLS:
		dialer.LocalAddr = &net.UDPAddr{IP: local}
		conn, err = dialer.Dial("udp", at.String())
	default:
		dialer.LocalAddr = &net.TCPAddr{IP: local}
		conn, err = dialer.Dial("tcp", at.String())
	}
	if err == nil {
		conn, err = secured(transport, conn)
	}
	if err != nil {
		ts.t.Errorf("%s over %v from %s: %v", user, transport, ip, err)
		return nil
	}
	credential := ts.secrets.Issue(user, credentialTime, ts.clock.now())
	return &testClient{t: ts.t, name: user, conn: conn, transport: transport, username: credential.Username, password: credential.Password, realm: testRealm}
}

// secured shakes hands where the transport has that. On an error the connection is closed.
func secured(transport Transport, conn net.Conn) (net.Conn, error) {
	conn.SetDeadline(time.Now().Add(patience))
	defer conn.SetDeadline(time.Time{})
	var err error
	switch transport {
	case TLS:
		over := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		if err = over.Handshake(); err == nil {
			return over, nil
		}
	case DTLS:
		var over *dtls.Conn
		over, err = dtls.ClientWithOptions(dtlsnet.PacketConnFromConn(conn), conn.RemoteAddr(), dtls.WithInsecureSkipVerify(true))
		if err == nil {
			if err = over.Handshake(); err == nil {
				return over, nil
			}
		}
	default:
		return conn, nil
	}
	conn.Close()
	return nil, err
}

// echo sends back what it gets until the test ends.
func (p *peer) echo() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1<<16)
		for {
			n, from, err := p.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			p.WriteToUDPAddrPort(buffer[:n], from) // a lost one is seen by the client
		}
	}()
	p.t.Cleanup(func() { p.Close(); <-done })
}

// held is what a process has.
type held struct{ goroutines, descriptors, heap int }

func (h held) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d KB of heap", h.goroutines, h.descriptors, h.heap>>10)
}

// andSlack is what is held when the same is alive.
func (h held) andSlack() held {
	h.heap += heapSlack
	return h
}

func holding() held {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools forget at the second
	runtime.ReadMemStats(&m)
	fds, _ := os.ReadDir("/dev/fd") // none on Windows
	return held{runtime.NumGoroutine(), len(fds), int(m.HeapAlloc)}
}

func (h held) within(most held) bool {
	return h.goroutines <= most.goroutines && h.descriptors <= most.descriptors && h.heap <= most.heap
}

// settled ends what has vanished, waits until no call is left and the process holds no more than most, and returns what.
func (c *churn) settled(most held) held {
	c.t.Helper()
	c.Kick("vanished", time.Time{})
	c.clock.advance(credentialTime)
	c.Kick("nobody", time.Time{}) // forgets the kicks of expired credentials
	until(c.t, "no call is left", func() bool { return c.entries() == 0 && c.connections() == 0 })
	return wantHeld(c.t, most)
}

// entries is how much the server keeps of allocations, whether they live or not.
func (ts *testServer) entries() int {
	a := ts.allocations
	a.mu.RLock()
	defer a.mu.RUnlock()
	ts.control.mu.Lock()
	defer ts.control.mu.Unlock()
	return len(a.byRelay) + len(a.byClient) + len(a.byUser) + len(a.kicked) + a.places + len(ts.control.lives)
}

func (ts *testServer) connections() int {
	stats := ts.Stats()
	return stats.Sum().Connections
}
