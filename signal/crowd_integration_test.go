//go:build integration && linux

package signal

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// enterNetwork gives the test a network of its own, in which every address of 2001:db8::/32 is one
// of this machine. It needs root.
func enterNetwork(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread ends with the test, and its network with its sockets
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("enter a new network, which needs root: %v", err)
	}
	for _, command := range []string{"link set lo up", "route add local 2001:db8::/32 dev lo"} {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", command, err, out)
		}
	}
}

// freely dials from any address of IPv6.
func freely(addr string) func(ctx context.Context, network, to string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	d.Control = func(_, _ string, raw syscall.RawConn) (err error) {
		raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_FREEBIND, 1) })
		return err
	}
	return d.DialContext
}

// Idle connections from a /48 of IPv6, with an address each, keep nobody from signing in.
func TestIdlePrefix(t *testing.T) {
	enterNetwork(t)
	l, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	ts := startServer(t, &Config{MaxPending: 256}, l)
	ts.addr = fmt.Sprintf("[2001:db8::1]:%d", l.Addr().(*net.TCPAddr).Port)
	began := 0
	attack := func() {
		for range 300 {
			nc, err := freely(fmt.Sprintf("2001:db8:bad:%x::1", began))(t.Context(), "tcp", ts.addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { nc.Close() })
			began++
		}
	}
	attack()
	for i := range 5 {
		ts.dial = freely(fmt.Sprintf("2001:db8:900d:%d::1", i))
		c := ts.connect(fmt.Sprint("newcomer", i))
		attack()
		c.send(fmt.Sprintf(`{"type":"login","name":"user%d","password":"password%[1]d"}`, i))
		c.want(`{"type":"login","success":true}`)
	}
	if stats := ts.Stats(); stats.Pending > 256 || stats.Sessions != 5 {
		t.Errorf("stats say %+v, want 256 pending at most and 5 sessions", stats)
	}
}
