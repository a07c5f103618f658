package stream

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestIdleConnections: strangers who connect and say nothing, or only ask, are gone after LoginTimeout.
func TestIdleConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		ta := newTestAcceptor(t, nil)
		var clients []net.Conn
		for i := range n {
			nc := ta.dial(fmt.Sprintf("10.0.%d.%d:1", i/250, i%250))
			if i%2 == 1 {
				write(t, nc, stunMessage(0))
			}
			clients = append(clients, nc)
		}
		ta.wantOpen(n)
		time.Sleep(DefaultLoginTimeout - time.Nanosecond)
		ta.wantOpen(n)
		time.Sleep(time.Nanosecond)
		ta.wantOpen(0)
		ta.wantRefused(NoAllocation, n)
		for _, nc := range clients {
			wantClosed(t, nc, 0)
		}
	})
}

func TestLoginTimeoutFromAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, nil)
		nc, c := ta.connect()
		for range 9 {
			time.Sleep(time.Second)
			write(t, nc, stunMessage(8)) // no request renews it
		}
		wantClosed(t, nc, time.Second)
		c.wantEnd(t, NoAllocation, nil)
		if got := len(c.got); got != 9 {
			t.Errorf("%d messages came, want 9", got)
		}
	})
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, nil)
		nc, c := ta.connect()
		for range 3 {
			time.Sleep(DefaultLoginTimeout - 2*time.Second)
			c.Keep(true)
			time.Sleep(time.Hour)
			write(t, nc, stunMessage(0))
			c.Keep(false)
			time.Sleep(time.Second / 2)
			c.Keep(false) // changes nothing
			time.Sleep(time.Second / 2)
		}
		wantClosed(t, nc, DefaultLoginTimeout-time.Second)
		c.wantEnd(t, NoAllocation, nil)
		c.Keep(true)
		c.Keep(false) // an allocation may end after its connection
	})
}

// TestSlowMessage: the time of a message runs from its first byte, whatever comes later.
func TestSlowMessage(t *testing.T) {
	for name, message := range map[string]string{"STUN": stunMessage(400), "ChannelData": channelData(string(make([]byte, 400)))} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ta := newTestAcceptor(t, func(a *Acceptor) { a.FrameTimeout = 3 * time.Second })
				nc, c := ta.connect()
				c.Keep(true)
				time.Sleep(time.Hour)
				write(t, nc, stunMessage(0)+message[:100])
				time.Sleep(2 * time.Second)
				write(t, nc, padded(message[100:], message)) // in time: so has the next one its whole time
				write(t, nc, message[:1])
				for i := range 5 {
					time.Sleep(time.Second / 2)
					write(t, nc, message[1+i:2+i])
				}
				wantClosed(t, nc, time.Second/2)
				c.wantEnd(t, SlowMessage, nil)
				ta.wantOpen(0)
				ta.wantRefused(SlowMessage, 1)
			})
		})
	}
}

// settings counts how often deadlines are set.
type settings struct {
	net.Conn
	n int
}

func (s *settings) SetReadDeadline(at time.Time) error {
	s.n++
	return s.Conn.SetReadDeadline(at)
}

// TestDeadlineSettings: a busy connection does not set a deadline for each message, nor for each read.
func TestDeadlineSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, nil)
		here, there := net.Pipe()
		nc := &settings{Conn: there}
		go ta.ServeConn(nc)
		c := <-ta.conns
		c.Keep(true)
		message := channelData("0123456789ab")
		for range 600 { // a minute of messages in two pieces
			write(t, here, message[:7])
			time.Sleep(100 * time.Millisecond)
			write(t, here, message[7:])
			<-c.got
		}
		here.Close()
		c.wantEnd(t, "", io.EOF)
		if nc.n > 15 {
			t.Errorf("%d deadlines were set in a minute, want 15 at most", nc.n)
		}
	})
}

// buffers remembers how much the last read could have returned.
type buffers struct {
	net.Conn
	size atomic.Int64
}

func (b *buffers) Read(p []byte) (int, error) {
	b.size.Store(int64(len(p)))
	return b.Conn.Read(p)
}

// TestBigBuffer: a connection has a big buffer only while there is much to read.
func TestBigBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, nil)
		nc, there := net.Pipe()
		conn := &buffers{Conn: there}
		go ta.ServeConn(conn)
		c := <-ta.conns
		c.Keep(true)
		want := func(what string, big bool) {
			t.Helper()
			synctest.Wait()
			if size := conn.size.Load(); big != (size > idleBuffer) {
				t.Errorf("%s: it has a buffer of %d bytes, want a big one: %v", what, size, big)
			}
		}
		want("at first", false)
		write(t, nc, padded(channelData(string(make([]byte, 0xFFFF)))))
		want("after a long message", true)
		time.Sleep(2 * shrinkAfter)
		want("idle", false)
		for range 3 {
			write(t, nc, padded(channelData(string(make([]byte, 1200))), channelData(string(make([]byte, 8000)))))
		}
		want("after many messages", true)
		write(t, nc, stunMessage(0))
		write(t, nc, stunMessage(0))
		want("after little", false)
		if got := len(c.got); got != 9 {
			t.Errorf("%d messages came, want 9", got)
		}
		nc.Close()
	})
}
