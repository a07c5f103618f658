package udp

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
)

func TestEveryLengthArrivesWhole(t *testing.T) {
	eachForm(t, func(t *testing.T, listen func(testing.TB) *Socket) {
		a, b := listen(t), listen(t)
		packets := receive(t, b)
		q := NewQueue()
		for _, size := range []int{0, 1, 63, 64, 65, 1200, 1472, 1473, 2048, 9000, 65506, 65507} {
			p := numbered(1, size, size)[0]
			if err := a.WriteTo([]byte(p), b.LocalAddr()); err != nil {
				t.Fatalf("write %d bytes: %v", size, err)
			}
			wantFrom(t, packets, a.LocalAddr(), p)
			head := min(size, MaxHead)
			q.Add(a, b.LocalAddr(), []byte(p[:head]), []byte(p[head:]))
			wantDropped(t, q, 0)
			wantFrom(t, packets, a.LocalAddr(), p)
			q.AddCopy(a, b.LocalAddr(), []byte(p))
			wantDropped(t, q, 0)
			wantFrom(t, packets, a.LocalAddr(), p)
		}
	})
}

func TestPacketsArriveInOrder(t *testing.T) {
	eachForm(t, func(t *testing.T, listen func(testing.TB) *Socket) {
		a, b := listen(t), listen(t)
		packets := receive(t, b)
		q := NewQueue()
		for range 20 {
			sent := numbered(2*batchLen+3, 172, 50)
			for i, p := range sent {
				if i%2 == 0 {
					q.AddCopy(a, b.LocalAddr(), []byte(p))
				} else {
					q.Add(a, b.LocalAddr(), []byte(p[:4]), []byte(p[4:]))
				}
			}
			wantDropped(t, q, 0)
			wantFrom(t, packets, a.LocalAddr(), sent...)
		}
	})
}

func TestAnswersReachTheirSender(t *testing.T) {
	eachForm(t, func(t *testing.T, listen func(testing.TB) *Socket) {
		a, b := listen(t), listen(t)
		answers := receive(t, a)
		q := NewQueue()
		serve(t, b, func(batch []Packet) {
			for _, p := range batch {
				q.Add(b, p.From, []byte("re: "), p.Data)
			}
			q.Flush()
		})
		for _, text := range []string{"one", "two"} {
			if err := a.WriteTo([]byte(text), b.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			wantFrom(t, answers, b.LocalAddr(), "re: "+text)
		}
	})
}

func TestCloseEndsServe(t *testing.T) {
	eachForm(t, func(t *testing.T, listen func(testing.TB) *Socket) {
		s := listen(t)
		ended := serve(t, s, func([]Packet) {})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, <-ended)
		wantClosed(t, s.Serve(func([]Packet) {}))
		wantClosed(t, s.WriteTo([]byte("x"), s.LocalAddr()))
	})
}

func TestHandlerCanClose(t *testing.T) {
	eachForm(t, func(t *testing.T, listen func(testing.TB) *Socket) {
		a, b := listen(t), listen(t)
		ended := serve(t, b, func([]Packet) {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
		if err := a.WriteTo([]byte("x"), b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, <-ended)
		again, err := Listen(b.LocalAddr(), nil)
		if err != nil {
			t.Fatalf("the port is not free: %v", err)
		}
		_ = again.Close()
	})
}

func TestCloseDoesNotWaitForHandler(t *testing.T) {
	eachForm(t, func(t *testing.T, listen func(testing.TB) *Socket) {
		a, b := listen(t), listen(t)
		handling, proceed := make(chan struct{}), make(chan struct{})
		ended := serve(t, b, func(batch []Packet) {
			close(handling)
			<-proceed
			q := NewQueue()
			q.Add(b, batch[0].From, nil, batch[0].Data)
			wantDropped(t, q, 1)
		})
		if err := a.WriteTo([]byte("x"), b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		<-handling
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		close(proceed)
		wantClosed(t, <-ended)
	})
}

func TestOneServeAtATime(t *testing.T) {
	eachForm(t, func(t *testing.T, listen func(testing.TB) *Socket) {
		s := listen(t)
		running := make(chan struct{})
		serve(t, s, func([]Packet) { close(running) })
		if err := s.WriteTo([]byte("x"), s.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		<-running
		if err := s.Serve(func([]Packet) {}); !errors.Is(err, errServed) {
			t.Fatalf("second Serve: got %v, want %v", err, errServed)
		}
	})
}

func TestUnreachablePortsAreNoFault(t *testing.T) {
	eachForm(t, func(t *testing.T, listen func(testing.TB) *Socket) {
		a, b, gone := listen(t), listen(t), listen(t)
		packets := receive(t, a)
		if err := gone.Close(); err != nil {
			t.Fatal(err)
		}
		q := NewQueue()
		for range 10 {
			q.AddCopy(a, gone.LocalAddr(), []byte("nobody"))
			q.AddCopy(b, a.LocalAddr(), []byte("ping"))
			q.AddCopy(a, gone.LocalAddr(), []byte("nobody"))
			wantDropped(t, q, 0)
			wantFrom(t, packets, b.LocalAddr(), "ping")
		}
	})
}

func TestAddressesAreUnmapped(t *testing.T) {
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			s := mustListen(t, "[::ffff:127.0.0.1]:0", &Options{Buffer: 1 << 16}, f.form)
			if !s.LocalAddr().Addr().Is4() {
				t.Fatalf("local address: got %v, want IPv4", s.LocalAddr())
			}
			packets := receive(t, s)
			mapped := netip.AddrPortFrom(netip.AddrFrom16(s.LocalAddr().Addr().As16()), s.LocalAddr().Port())
			q := NewQueue()
			q.Add(s, mapped, nil, []byte("queued"))
			wantDropped(t, q, 0)
			if err := s.WriteTo([]byte("written"), mapped); err != nil {
				t.Fatal(err)
			}
			wantFrom(t, packets, s.LocalAddr(), "queued", "written")
		})
	}
}

func TestWildcardOfOneFamily(t *testing.T) {
	six, err := Listen(netip.MustParseAddrPort("[::]:0"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer six.Close()
	four, err := Listen(netip.AddrPortFrom(netip.IPv4Unspecified(), six.LocalAddr().Port()), nil)
	if err != nil {
		t.Fatalf("the IPv6 socket took the IPv4 port: %v", err)
	}
	_ = four.Close()
}

func TestReusePort(t *testing.T) {
	first, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), &Options{ReusePort: true})
	if runtime.GOOS != "linux" {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Fatalf("got %v, want errors.ErrUnsupported", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := Listen(first.LocalAddr(), &Options{ReusePort: true})
	if err != nil {
		t.Fatal(err)
	}
	_ = second.Close()
}

func TestListenSaysWhere(t *testing.T) {
	s := mustListen(t, "127.0.0.1:0", nil, newDriver)
	_, err := Listen(s.LocalAddr(), nil)
	if op := (*net.OpError)(nil); !errors.As(err, &op) || !strings.Contains(err.Error(), s.LocalAddr().String()) {
		t.Fatalf("got %v, want a *net.OpError with the address", err)
	}
}
