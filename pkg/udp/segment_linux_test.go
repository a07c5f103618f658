package udp

import (
	"fmt"
	"net"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// natively makes a socket that works in batches, and its driver.
func natively(t testing.TB, at string) (*Socket, *batched) {
	t.Helper()
	s := mustListen(t, at, &Options{Buffer: 1 << 20}, newDriver)
	return s, s.driver.(*batched)
}

func queueAll(q *Queue, from, to *Socket, packets []string) {
	for _, p := range packets {
		head := min(4, len(p))
		q.Add(from, to.LocalAddr(), []byte(p[:head]), []byte(p[head:]))
	}
}

// setInt sets a socket option.
func setInt(t testing.TB, s *Socket, level, name, value int) {
	t.Helper()
	raw, err := s.conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if controlErr := raw.Control(func(fd uintptr) { err = setOption(fd, level, name, value) }); controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
}

func TestSegmentsArriveAsDatagrams(t *testing.T) {
	for _, at := range loopbacks {
		s, d := natively(t, at)
		messages := 0
		d.sendmmsg = func(fd uintptr, msgs []unix.Mmsghdr) (int, syscall.Errno) {
			messages += len(msgs)
			return sendmmsg(fd, msgs)
		}
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: s.LocalAddr().Addr().AsSlice()})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		sent := numbered(20, 1200, 77)
		q := NewQueue()
		for _, p := range sent {
			q.Add(s, unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort()), []byte(p[:4]), []byte(p[4:]))
		}
		wantDropped(t, q, 0)
		if messages != 1 {
			t.Errorf("%s: sent %d messages, want 1", at, messages)
		}
		buffer := make([]byte, 1<<16)
		for i, want := range sent {
			n, _, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(buffer[:n]); got != want {
				t.Fatalf("%s: datagram %d: got %d bytes, want %d, or they differ", at, i, len(got), len(want))
			}
		}
	}
}

func TestCoalescedMessageIsSplit(t *testing.T) {
	for _, at := range loopbacks {
		a, _ := natively(t, at)
		b, d := natively(t, at)
		sent := numbered(20, 1000, 77)
		q := NewQueue()
		queueAll(q, a, b, sent)
		wantDropped(t, q, 0)

		batch := newBatch()
		var n int
		var errno syscall.Errno
		if err := d.raw.Read(func(fd uintptr) bool {
			n, errno = recvmmsg(fd, batch.msgs[:])
			return errno != unix.EAGAIN
		}); err != nil || errno != 0 {
			t.Fatal(err, errno)
		}
		if n != 1 || batch.segment(0) != 1000 {
			t.Fatalf("%s: read %d messages of segments of %d, want 1 of 1000", at, n, batch.segment(0))
		}
		var got []string
		d.deliver(batch, n, func(packets []Packet) {
			for _, p := range packets {
				if p.From != a.LocalAddr() || cap(p.Data) != len(p.Data) {
					t.Errorf("%s: packet from %v with room to spill: %d of %d", at, p.From, len(p.Data), cap(p.Data))
				}
				got = append(got, string(p.Data))
			}
		})
		if !slices.Equal(got, sent) {
			t.Fatalf("%s: %d packets differ from the %d sent", at, len(got), len(sent))
		}
	}
}

// A batch of coalesced messages is many packets; handlers get them by 64 all the same.
func TestCoalescedBatches(t *testing.T) {
	a, _ := natively(t, "127.0.0.1:0")
	b, _ := natively(t, "127.0.0.1:0")
	sent := numbered(batchLen, 100, 100)
	q := NewQueue()
	for range 5 {
		queueAll(q, a, b, sent)
		a.segment.Store(0)
		queueAll(q, a, b, sent[:7])
		wantDropped(t, q, 0)
		a.segment.Store(maxSegment4)
	}
	packets := receive(t, b)
	for range 5 {
		wantFrom(t, packets, a.LocalAddr(), sent...)
		wantFrom(t, packets, a.LocalAddr(), sent[:7]...)
	}
}

// The kernel refuses to segment for a socket that sends no checksums.
func TestKernelRefusesSegments(t *testing.T) {
	a, _ := natively(t, "127.0.0.1:0")
	b, _ := natively(t, "127.0.0.1:0")
	packets := receive(t, b)
	setInt(t, a, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
	sent := numbered(20, 1200, 77)
	q := NewQueue()
	queueAll(q, a, b, sent)
	queueAll(q, a, b, sent[:1])
	wantDropped(t, q, 0)
	wantFrom(t, packets, a.LocalAddr(), sent...)
	wantFrom(t, packets, a.LocalAddr(), sent[0])
}

func TestRefusals(t *testing.T) {
	segmented := func(m *unix.Mmsghdr) bool { return m.Hdr.Controllen > 0 }
	always := func(*unix.Mmsghdr) bool { return true }
	once := func() func(*unix.Mmsghdr) bool {
		done := false
		return func(*unix.Mmsghdr) bool { first := !done; done = true; return first }
	}
	tests := []struct {
		name    string
		errno   syscall.Errno
		refuses func(*unix.Mmsghdr) bool
		dropped int  // of 12
		sticky  bool // no more segments from this socket
	}{
		{"segments above the MTU", unix.EINVAL, segmented, 0, false},
		{"segments above the MTU, newer kernels", unix.EMSGSIZE, segmented, 0, false},
		{"a device without checksums", unix.EIO, segmented, 0, true},
		{"no such option", unix.ENOPROTOOPT, segmented, 0, true},
		{"not supported", unix.EOPNOTSUPP, segmented, 0, true},
		{"send buffer full", unix.EAGAIN, always, 12, false},
		{"a filter", unix.EPERM, always, 12, false},
		{"all is invalid", unix.EINVAL, always, 12, false},
		{"news of an earlier packet", unix.ECONNREFUSED, once(), 0, false},
		{"interrupted", unix.EINTR, once(), 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, d := natively(t, "127.0.0.1:0")
			b, _ := natively(t, "127.0.0.1:0")
			packets := receive(t, b)
			d.sendmmsg = func(fd uintptr, msgs []unix.Mmsghdr) (int, syscall.Errno) {
				n := slices.IndexFunc(msgs, func(m unix.Mmsghdr) bool { return test.refuses(&m) })
				if n == 0 {
					return 0, test.errno
				} else if n > 0 {
					msgs = msgs[:n]
				}
				return sendmmsg(fd, msgs)
			}
			first, group, last := numbered(1, 50, 50), numbered(10, 400, 30), numbered(1, 60, 60)
			sent := slices.Concat(first, group, last)
			q := NewQueue()
			queueAll(q, a, b, sent)
			wantDropped(t, q, test.dropped)
			if test.dropped == 0 {
				wantFrom(t, packets, a.LocalAddr(), sent...)
			}
			if got := a.segment.Load() == 0; got != test.sticky {
				t.Errorf("segments given up: got %v, want %v", got, test.sticky)
			}
		})
	}
}

// With IP_RECVERR the kernel reports even to unconnected sockets that a port is closed, on any call.
func TestReportedErrorsAreNoFault(t *testing.T) {
	for _, f := range forms {
		a := mustListen(t, "127.0.0.1:0", nil, f.form)
		b, _ := natively(t, "127.0.0.1:0")
		gone, _ := natively(t, "127.0.0.1:0")
		setInt(t, a, unix.SOL_IP, unix.IP_RECVERR, 1)
		if err := gone.Close(); err != nil {
			t.Fatal(err)
		}
		atA, atB := receive(t, a), receive(t, b)
		q := NewQueue()
		for i := range 100 {
			text := fmt.Sprint(f.name, i)
			q.AddCopy(a, gone.LocalAddr(), []byte("nobody"))
			q.AddCopy(a, b.LocalAddr(), []byte(text))
			q.AddCopy(b, a.LocalAddr(), []byte(text))
			q.AddCopy(a, gone.LocalAddr(), []byte("nobody"))
			wantDropped(t, q, 0)
			wantFrom(t, atB, a.LocalAddr(), text)
			wantFrom(t, atA, b.LocalAddr(), text)
		}
	}
}

// A full batch may not be all there is, and the poller tells of nothing twice.
func TestMoreThanABatchWaits(t *testing.T) {
	a, _ := natively(t, "127.0.0.1:0")
	b, _ := natively(t, "127.0.0.1:0")
	sent := numbered(batchLen+1, 30, 30)
	for _, p := range sent {
		if err := a.WriteTo([]byte(p), b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	wantFrom(t, receive(t, b), a.LocalAddr(), sent...)
}

func TestSentBodiesAreForgotten(t *testing.T) {
	a, _ := natively(t, "127.0.0.1:0")
	q := NewQueue()
	q.Add(a, a.LocalAddr(), []byte("head"), []byte("body"))
	l := q.load
	wantDropped(t, q, 0)
	if l.wire.iovs[1].Base != nil {
		t.Fatal("the body is still referred to after Flush")
	}
}

func TestNoBroadcast(t *testing.T) {
	_, d := natively(t, "127.0.0.1:0")
	if err := d.raw.Control(func(fd uintptr) {
		if got, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST); err != nil || got != 0 {
			t.Errorf("SO_BROADCAST is %d, %v, want 0", got, err)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
