//go:build integration && linux

package udp

import (
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// enterNetwork gives the test a network of its own, with nothing but a loopback device, set up by commands of ip.
// It needs root.
func enterNetwork(t *testing.T, commands ...string) {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread ends with the test, and its network with its sockets
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("enter a new network, which needs root: %v", err)
	}
	for _, command := range commands {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", command, err, out)
		}
	}
}

func TestSegmentsAboveTheMTU(t *testing.T) {
	enterNetwork(t, "link set lo mtu 1280 up")
	for _, at := range loopbacks {
		a, d := natively(t, at)
		b, _ := natively(t, at)
		refusals := 0
		d.sendmmsg = func(fd uintptr, msgs []unix.Mmsghdr) (int, syscall.Errno) {
			n, errno := sendmmsg(fd, msgs)
			if errno != 0 {
				refusals++
			}
			return n, errno
		}
		packets := receive(t, b)
		long, short := numbered(20, 1400, 77), numbered(20, 1000, 77)
		q := NewQueue()
		for range 3 {
			queueAll(q, a, b, long)
			queueAll(q, a, b, short)
			wantDropped(t, q, 0)
			wantFrom(t, packets, a.LocalAddr(), long...)
			wantFrom(t, packets, a.LocalAddr(), short...)
		}
		if refusals != 3 {
			t.Errorf("%s: %d messages were refused, want 3", at, refusals)
		}
		if a.segment.Load() == 0 {
			t.Errorf("%s: one path's MTU ended segmentation for all", at)
		}
	}
}

func TestLinkLocalAnswers(t *testing.T) {
	enterNetwork(t, "link set lo up", "addr add fe80::1/64 dev lo nodad")
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range forms {
		a := mustListen(t, "[fe80::1%lo]:0", nil, f.form)
		b := mustListen(t, "[fe80::1%lo]:0", nil, f.form)
		q := NewQueue()
		answers := receive(t, a)
		serve(t, b, func(batch []Packet) {
			zone := batch[0].From.Addr().Zone()
			if want := strconv.Itoa(lo.Index); f.name == "native" && zone != want {
				t.Errorf("zone: got %q, want %q", zone, want)
			}
			q.Add(b, batch[0].From, []byte("re: "), batch[0].Data)
			if got := q.Flush(); got != 0 {
				t.Errorf("%s: dropped %d answers", f.name, got)
			}
			if err := b.WriteTo([]byte("again"), batch[0].From); err != nil {
				t.Error(err)
			}
		})
		wantAnswers(t, a, b.LocalAddr(), answers, "re: hello", "again")
	}
}

// wantAnswers says hello until all answers came: a new network loses packets until its routes are installed.
func wantAnswers(t *testing.T, a *Socket, to netip.AddrPort, answers <-chan received, want ...string) {
	t.Helper()
	resend := time.NewTicker(50 * time.Millisecond)
	defer resend.Stop()
	missing := map[string]bool{}
	for _, text := range want {
		missing[text] = true
	}
	for len(missing) > 0 {
		if err := a.WriteTo([]byte("hello"), to); err != nil {
			t.Fatal(err)
		}
		for wait := true; wait && len(missing) > 0; {
			select {
			case got := <-answers:
				delete(missing, got.data)
			case <-resend.C:
				wait = false
			}
		}
	}
}
