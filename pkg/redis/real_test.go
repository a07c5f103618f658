//go:build integration

package redis

import (
	"bufio"
	"context"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// TestRealRedis is TestMiniredis against a redis-server that it starts.
func TestRealRedis(t *testing.T) {
	addr := startRedis(t)
	testRedis(t, func(t *testing.T) testServer {
		s := newTestServer(t, addr)
		s.do(t, "FLUSHALL")
		return s
	})
}

// startRedis returns the address of a redis-server that ends with the test.
func startRedis(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("%v: install the Debian package redis-server", err)
	}
	var output string
	for range 5 { // somebody else may take the port first
		var addr string
		if addr, output = tryRedis(t, path); addr != "" {
			return addr
		}
	}
	t.Fatalf("redis-server does not start:\n%s", output)
	return ""
}

// tryRedis returns the address once the server is ready, or what it printed.
func tryRedis(t *testing.T, path string) (addr, output string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	host, port, _ := net.SplitHostPort(addr)
	l.Close()

	ctx, kill := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, drained := make(chan bool, 1), make(chan struct{})
	var printed strings.Builder // owned by the reader until ready says something
	go func() {
		defer close(drained)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			printed.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "Ready to accept connections") {
				ready <- true
				io.Copy(io.Discard, stdout)
				return
			}
		}
		ready <- false
	}()
	stop := func() { kill(); <-drained; cmd.Wait() }
	if !<-ready {
		stop()
		return "", printed.String()
	}
	t.Cleanup(stop)
	return addr, ""
}
