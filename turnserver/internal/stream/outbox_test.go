package stream

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestSend: what is sent comes in order, padded on a stream.
func TestSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, nil)
		nc, c := ta.connect()
		c.Keep(true)
		var want strings.Builder
		for i := range 200 {
			m := channelData(strings.Repeat("x", 1+7*i))
			want.WriteString(padded(m, stunMessage(8)))
			if !c.Send([]byte(m[:4]), []byte(m[4:])) || !c.Send(nil, []byte(stunMessage(8))) {
				t.Fatal("Send = false, want true: there is room")
			}
		}
		if c.Send(nil, nil) {
			t.Error("Send of nothing = true, want false")
		}
		wantRead(t, nc, want.String())
		c.wantEmpty(t)
	})
}

// wantEmpty checks that nothing is held for an idle connection.
func (s *served) wantEmpty(t testing.TB) {
	t.Helper()
	synctest.Wait()
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	if o := &s.out; o.queued != 0 || o.first != nil || o.last != nil || o.writing {
		t.Errorf("%d bytes wait, chunks %v, a writer %v; want none", o.queued, o.first != nil || o.last != nil, o.writing)
	}
}

// TestSendFromMany: messages stay whole, and those of one sender in order.
func TestSendFromMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, func(a *Acceptor) { a.MaxQueue = 1 << 20 })
		nc, c := ta.connect()
		const senders, each = 8, 100
		var all sync.WaitGroup
		for s := range senders {
			all.Go(func() {
				for i := range each {
					c.Send([]byte(channelData(fmt.Sprintf("%d %3d ", s, i)))[:4], []byte(fmt.Sprintf("%d %3d ", s, i)))
				}
			})
		}
		var next [senders]int
		for range senders * each {
			b := make([]byte, 4+6+2)
			if _, err := io.ReadFull(nc, b); err != nil {
				t.Fatal(err)
			}
			var s, i int
			if _, err := fmt.Sscanf(string(b[4:10]), "%d %d", &s, &i); err != nil || i != next[s] {
				t.Fatalf("got %q, %v, want the message %d", b, err, next[s])
			}
			next[s]++
		}
		all.Wait()
	})
}

// TestClientThatTakesNothing: what waits for it is bounded, and the connection ends.
func TestClientThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, nil)
		nc, c := ta.connect()
		c.Keep(true)
		taken := 0
		for c.Send(nil, make([]byte, 1200)) {
			taken += 1200
		}
		if taken > DefaultMaxQueue || taken < DefaultMaxQueue-1200 {
			t.Errorf("%d bytes wait, want %d", taken, DefaultMaxQueue)
		}
		if !c.Send(nil, make([]byte, 4)) {
			t.Error("a smaller message is dropped, want it taken: there is room")
		}
		begin := time.Now()
		c.wantEnd(t, SlowReader, nil)
		if got := time.Since(begin); got != DefaultWriteTimeout {
			t.Errorf("the connection ended after %v, want %v", got, DefaultWriteTimeout)
		}
		if _, err := nc.Write([]byte{0}); err == nil {
			t.Error("the connection is open, want it closed")
		}
		c.wantEmpty(t)
		if c.Send(nil, make([]byte, 4)) {
			t.Error("Send = true after the end, want false")
		}
		ta.wantRefused(SlowReader, 1)
	})
}

// TestSlowClient: one that takes 16 KiB within the time stays, however long the queue.
func TestSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, nil)
		nc, c := ta.connect()
		c.Keep(true)
		sent := 0
		for c.Send(nil, make([]byte, 1200)) {
			sent += 1200
		}
		for got := 0; got < sent; {
			time.Sleep(DefaultWriteTimeout / 20)
			n, err := nc.Read(make([]byte, 1024))
			if err != nil {
				t.Fatalf("after %d bytes: %v", got, err)
			}
			got += n
		}
		c.wantEmpty(t)
		ta.wantOpen(1)
	})
}

// writes remembers each write.
type writes struct {
	net.Conn
	all []string
}

func (w *writes) Write(b []byte) (int, error) {
	w.all = append(w.all, string(b))
	return len(b), nil
}

// TestStrangersQueue: who has no allocation makes us keep no more than some answers.
func TestStrangersQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, nil)
		nc, c := ta.connect()
		fill := func() (queued int) {
			for c.Send(nil, make([]byte, 1<<10)) {
				queued += 1 << 10
			}
			return queued
		}
		if got := fill(); got != strangersQueue {
			t.Errorf("%d bytes wait for a stranger, want %d", got, strangersQueue)
		}
		c.Keep(true)
		if got := fill(); got != DefaultMaxQueue-strangersQueue {
			t.Errorf("%d bytes more wait for a client, want %d", got, DefaultMaxQueue-strangersQueue)
		}
		c.Keep(false)
		if c.Send(nil, make([]byte, 1<<10)) {
			t.Error("there is more room after the end of the allocation")
		}
		nc.Close()
	})
}

// TestSendDatagrams: each message is one write, without padding.
func TestSendDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, nil)
		here, there := net.Pipe()
		nc := &writes{Conn: there}
		var ended sync.WaitGroup
		ended.Go(func() { ta.ServeMessages(nc) })
		c := <-ta.conns
		c.Keep(true)
		var want []string
		for i := range 100 {
			m := channelData(strings.Repeat("x", 10*i+1))
			want = append(want, m)
			c.Send([]byte(m[:4]), []byte(m[4:]))
		}
		if c.Send(nil, make([]byte, chunkSize)) {
			t.Error("Send of a datagram as long as no record = true, want false")
		}
		c.wantEmpty(t)
		here.Close()
		ended.Wait()
		got := make(chan string, len(nc.all))
		for _, m := range nc.all {
			got <- m
		}
		close(got)
		wantMessages(t, got, want)
	})
}

// TestWritesTogether: what waits while a write is under way goes out in one.
func TestWritesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, nil)
		nc, c := ta.connect()
		c.Send(nil, make([]byte, 100))
		synctest.Wait() // the writer waits for the client
		for range 10 {
			c.Send(nil, make([]byte, 1200))
		}
		buffer := make([]byte, 1<<20)
		for _, want := range []int{100, 12000} {
			if n, err := nc.Read(buffer); n != want || err != nil {
				t.Errorf("read %d bytes, %v, want %d", n, err, want)
			}
		}
	})
}

// TestCloseWhileWriting: Close does not wait for the client.
func TestCloseWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, nil)
		_, c := ta.connect()
		c.Send(nil, make([]byte, 50000))
		synctest.Wait()
		begin := time.Now()
		c.Close()
		c.wantEnd(t, "", net.ErrClosed)
		c.Close()
		c.wantEmpty(t)
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("Close took %v, want no time", waited)
		}
	})
}
