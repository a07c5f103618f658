//go:build integration

package signal

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program returns a command that runs an installed program, for patience at most.
func program(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: install the package %s", name, name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, path, args...)
}

// says runs a program that reads input, and returns what it writes until that holds
// want. It is ended then.
func says(t *testing.T, cmd *exec.Cmd, input, want string) (got string) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, input)
	for chunk := make([]byte, 1<<10); err == nil && !strings.Contains(got, want); {
		var n int
		n, err = out.Read(chunk)
		got += string(chunk[:n])
	}
	cmd.Process.Kill()
	cmd.Wait()
	return got
}

// rootFile is the CA as a file.
func (ss *sharedServer) rootFile() string {
	ss.t.Helper()
	path := filepath.Join(ss.t.TempDir(), "root.pem")
	if err := os.WriteFile(path, ss.ca.RootPEM(), 0o600); err != nil {
		ss.t.Fatal(err)
	}
	return path
}

func TestCurlOnASharedPort(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		args string
	}{
		{Config{}, "--http1.1"},
		{Config{}, "--http2"}, // offers both, and gets 1.1
		{Config{}, "--no-alpn"},
		{Config{}, "--no-alpn --tls-max 1.2"},
		{Config{Proxies: trustedProxy(t)}, "--haproxy-protocol"},
		{Config{Proxies: trustedProxy(t)}, "--haproxy-protocol --no-alpn"},
	} {
		ss := newSharedServer(t, tt.cfg)
		args := append(strings.Fields(tt.args), "-sS", "--cacert", ss.rootFile(), "-w", " %{http_version}", "https://"+ss.addr+"/healthz")
		if out, err := program(t, "curl", args...).CombinedOutput(); err != nil || string(out) != "OK 1.1" {
			t.Errorf("curl %s: got %q, %v, want OK 1.1", tt.args, out, err)
		}
		if n := len(ss.relayed); n != 0 {
			t.Errorf("curl %s: the relay has got %d connections", tt.args, n)
		}
	}
}

func TestOpenSSLOnASharedPort(t *testing.T) {
	ss := newSharedServer(t, Config{})
	for _, tt := range []struct{ args, send, want string }{
		{"-alpn stun.turn", binding, "relay " + binding},
		{"-alpn stun.nat-discovery", binding, "relay " + binding},
		{"-alpn h2,stun.turn -tls1_2", binding, "relay " + binding},
		{"", binding, "relay " + binding},
		{"-tls1_2", binding, "relay " + binding},
		{"-alpn http/1.1", "GET /healthz HTTP/1.0\r\n\r\n", "\r\n\r\nOK"},
		{"", "GET /healthz HTTP/1.0\r\n\r\n", "\r\n\r\nOK"},
		{"-alpn http/1.1", binding + "\r\n\r\n", "400 Bad Request"},
		{"-alpn h2", "", "alert no application protocol"},
	} {
		args := append([]string{"s_client", "-connect", ss.addr, "-CAfile", ss.rootFile(), "-verify_return_error"}, strings.Fields(tt.args)...)
		if !strings.Contains(tt.want, "alert") {
			args = append(args, "-quiet")
		}
		if got := says(t, program(t, "openssl", args...), tt.send, tt.want); !strings.Contains(got, tt.want) {
			t.Errorf("s_client %s with %q: want %q in\n%q", tt.args, tt.send, tt.want, got)
		}
	}
}
