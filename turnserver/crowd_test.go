package turnserver

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// attack opens idle connections to a server from 32 addresses of Linux's loopback network,
// 127.2.N.1, and more and more until stop is called or there were 8192, no faster than the server
// closes others. When it returns there have been more than it lets stay open.
func (ts *testServer) attack(transport Transport) (stop func()) {
	ts.t.Helper()
	const workers, keep, most = 4, 96, 2048 // keep and most of each worker
	ctx, cancel := context.WithCancel(ts.t.Context())
	var full, running sync.WaitGroup
	for worker := range workers {
		full.Add(1)
		running.Go(func() {
			var open []net.Conn
			for i := 0; i < most && ctx.Err() == nil; i++ {
				if i == keep+1 {
					full.Done()
				}
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 2, byte(i%8*workers+worker), 1)}}
				nc, err := d.DialContext(ctx, "tcp", ts.Addrs(transport)[0].String())
				if err != nil {
					continue // the end
				}
				if open = append(open, nc); len(open) > keep { // the server closes it, as fast as it can
					open[0].SetReadDeadline(time.Now().Add(10 * time.Second))
					open[0].Read(make([]byte, 1))
					open[0].Close()
					open = open[1:]
				}
			}
			<-ctx.Done()
			for _, nc := range open {
				nc.Close()
			}
		})
	}
	full.Wait()
	return func() { cancel(); running.Wait() }
}

// Idle connections from 32 addresses, more than there may be, and more and more of them, keep
// nobody from an allocation, neither newcomers nor those who had one before, and take it from
// nobody.
func TestIdleCrowd(t *testing.T) {
	for _, transport := range []Transport{TCP, TLS} {
		t.Run(transport.String(), func(t *testing.T) {
			ts := newTestServer(t, withTLS(t, func(cfg *Config) { everywhere(cfg); cfg.MaxPending = 256 }))
			dial := func(ip, user string) *testClient {
				c := ts.from(transport, ip, user)
				if c == nil {
					t.FailNow()
				}
				t.Cleanup(func() { c.conn.Close() })
				return c
			}
			early, former := dial("127.3.0.1", "early"), dial("127.3.0.2", "former")
			early.allocate()
			former.allocate()
			former.conn.Close()
			for began := time.Now(); ts.Stats().Allocations != 1; runtime.Gosched() {
				if time.Since(began) > patience {
					t.Fatal("the allocation outlives its connection")
				}
			}
			defer ts.attack(transport)()
			for i := range 10 {
				dial(fmt.Sprintf("127.3.1.%d", 1+i), "newcomer").allocate()
			}
			dial("127.3.0.2", "former").allocate()
			early.wantOK(stun.MethodRefresh, early.request(stun.MethodRefresh, lifetime(600)))
			if n := ts.pending.Len(); n > 256 {
				t.Errorf("%d connections are pending, want 256 at most", n)
			}
			stats := ts.Stats()
			if n := stats.Sum().Refused["too_many"]; n == 0 {
				t.Error("the metrics count nothing")
			}
		})
	}
}
