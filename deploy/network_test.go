//go:build integration

package deploy

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The addresses of the two machines, on which the names of the configurations
// mean nothing: clients dial the proxy's address.
const (
	proxy4, client4 = "203.0.113.1", "203.0.113.7"
	proxy6, client6 = "2001:db8::1", "2001:db8::7"
)

// machine is a network namespace.
type machine string

// newNetwork makes two machines with a cable between them.
func newNetwork(t *testing.T) (proxy, client machine) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: it makes network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Fatal("ip is missing: install the Debian package iproute2")
	}
	proxy, client = newMachine(t, "proxy"), newMachine(t, "client")
	command(t, "ip", "link", "add", "eth0", "netns", string(proxy), "type", "veth", "peer", "name", "eth0", "netns", string(client))
	proxy.connect(t, proxy4, proxy6)
	client.connect(t, client4, client6)
	return proxy, client
}

func newMachine(t *testing.T, role string) machine {
	t.Helper()
	m := machine(fmt.Sprintf("sigctl-deploy-%d-%s", os.Getpid(), role))
	command(t, "ip", "netns", "add", string(m))
	t.Cleanup(func() { command(t, "ip", "netns", "delete", string(m)) })
	return m
}

func (m machine) connect(t *testing.T, ipv4, ipv6 string) {
	t.Helper()
	for _, args := range []string{
		"address add " + ipv4 + "/24 dev eth0",
		"address add " + ipv6 + "/64 dev eth0 nodad", // usable at once
		"link set eth0 up",
		"link set lo up",
	} {
		command(t, append([]string{"ip", "-n", string(m)}, strings.Fields(args)...)...)
	}
}

func command(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
}

// do calls f on the machine: sockets that f opens are there, and stay.
func (m machine) do(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		result <- func() error {
			ns, err := os.Open("/run/netns/" + string(m))
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			return f()
		}()
	}()
	return <-result
}

// dial connects from the machine to an IP address.
func (m machine) dial(ctx context.Context, network, addr string) (nc net.Conn, err error) {
	err = m.do(func() error {
		nc, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return nc, err
}

func (m machine) listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	var l net.Listener
	if err := m.do(func() (err error) { l, err = net.Listen("tcp", addr); return err }); err != nil {
		t.Fatal(err)
	}
	return l
}
