package udp

import (
	"fmt"
	"net"
	"testing"
)

// BenchmarkForward sends packets through a forwarder, a burst at a time, and waits for each burst at the other end.
// The forwarder is a socket with a queue, in both forms, or the loop that one writes with the net package; sender
// and receiver are always the same.
func BenchmarkForward(b *testing.B) {
	for _, load := range []struct{ size, burst int }{{172, 1}, {1200, 8}, {1200, 64}} {
		for _, f := range forms {
			b.Run(fmt.Sprintf("%dx%d/%s", load.size, load.burst, f.name), func(b *testing.B) {
				out := mustListen(b, "127.0.0.1:0", nil, newDriver)
				in := mustListen(b, "127.0.0.1:0", nil, f.form)
				q := NewQueue()
				serve(b, in, func(batch []Packet) {
					for _, p := range batch {
						q.Add(in, out.LocalAddr(), []byte("head"), p.Data)
					}
					q.Flush()
				})
				benchmark(b, in, out, load.size, load.burst)
			})
		}
		b.Run(fmt.Sprintf("%dx%d/net", load.size, load.burst), func(b *testing.B) {
			out := mustListen(b, "127.0.0.1:0", nil, newDriver)
			in := mustListen(b, "127.0.0.1:0", nil, newPlain)
			done := make(chan struct{})
			go func() {
				defer close(done)
				forward(in.conn, out)
			}()
			b.Cleanup(func() {
				_ = in.Close()
				<-done
			})
			benchmark(b, in, out, load.size, load.burst)
		})
	}
}

func forward(conn *net.UDPConn, to *Socket) {
	buffer := make([]byte, 1<<16)
	copy(buffer, "head")
	for {
		n, _, err := conn.ReadFromUDPAddrPort(buffer[4:])
		if err != nil {
			return
		}
		_, _ = conn.WriteToUDPAddrPort(buffer[:4+n], to.LocalAddr())
	}
}

func benchmark(b *testing.B, in, out *Socket, size, burst int) {
	arrived := make(chan int, burst)
	serve(b, out, func(batch []Packet) { arrived <- len(batch) })
	from := mustListen(b, "127.0.0.1:0", nil, newDriver)
	q := NewQueue()
	body := make([]byte, size)
	b.ReportAllocs()
	b.ResetTimer()
	for sent := 0; sent < b.N; sent += burst {
		for range burst {
			q.Add(from, in.LocalAddr(), nil, body)
		}
		q.Flush()
		for n := 0; n < burst; {
			n += <-arrived
		}
	}
}
