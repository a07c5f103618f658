//go:build integration && linux

package hostaddr

import (
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ip runs a command of ip in the network of the calling thread.
func ip(t *testing.T, command string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", command, err, out)
	}
}

// TestAnnounced changes the addresses of a network of its own, and wants each change at once. It
// needs root.
func TestAnnounced(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the test, and its network with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("enter a new network, which needs root: %v", err)
	}
	w, err := Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, ok := w.system.(*netlink).waiter.(*announcements); !ok {
		t.Fatalf("the kernel announces nothing: got a %T", w.system.(*netlink).waiter)
	}
	changed, stop := w.Watch()
	defer stop()
	await := func(name string, want func([]Address) bool) {
		t.Helper()
		for deadline := time.After(time.Minute); !want(w.Current()); {
			select {
			case <-changed:
			case <-deadline:
				t.Fatalf("%s: got %v", name, w.Current())
			}
		}
	}
	has := func(text string) func([]Address) bool {
		return func(list []Address) bool { return slices.Contains(list, addresses(text)[0]) }
	}
	ip(t, "link set lo up")
	await("loopback", has("127.0.0.1/8"))
	ip(t, "link add d0 type veth peer name d1")
	ip(t, "link set d1 up")
	ip(t, "link set d0 up")
	ip(t, "address add 9.9.9.9 peer 9.9.8.8/30 dev d0")
	await("the near end of two", has("9.9.9.9/30"))
	ip(t, "address add 2600::1/64 dev d0") // nobody else has it, which takes the kernel a second to find out
	await("IPv6, tentative or not", func(list []Address) bool { return has("2600::1/64?")(list) || has("2600::1/64")(list) })
	await("IPv6, usable", has("2600::1/64"))
	var many strings.Builder
	for i := range 300 { // more than a dump holds in one message
		fmt.Fprintf(&many, "address add 9.1.%d.%d/32 dev d0\n", i/200, i%200)
	}
	batch := exec.Command("ip", "-batch", "-")
	batch.Stdin = strings.NewReader(many.String())
	if out, err := batch.CombinedOutput(); err != nil {
		t.Fatalf("ip -batch: %v: %s", err, out)
	}
	await("300 addresses", func(list []Address) bool {
		return len(list) > 300 && has("9.1.0.0/32")(list) && has("9.1.1.99/32")(list)
	})
	ip(t, "link delete d0")
	await("all gone but loopback", func(list []Address) bool {
		return !slices.ContainsFunc(list, func(a Address) bool { return !a.Addr().IsLoopback() })
	})
}
