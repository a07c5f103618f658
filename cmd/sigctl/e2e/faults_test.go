//go:build integration

package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each wrong configuration is one line that says what is wrong, a hint, and exit
// code 2; and leaves nothing that would stop the next start.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	needRoot(t, "it starts servers as nobody")
	taken, udp := takePorts(t)
	files := t.TempDir()
	if err := os.Chmod(files, 0o755); err != nil {
		t.Fatal(err)
	}
	one, two := issue(t, files, "one.example"), issue(t, files, "two.example")
	config := write(t, files, "sigctl.yaml", "turn-listn: \":3478\"\n")
	file := write(t, files, "file", "")
	readOnly := filepath.Join(files, "read-only")
	if err := os.Mkdir(readOnly, 0o755); err != nil {
		t.Fatal(err)
	}

	tests := []struct {
		name       string
		args       []string
		says, hint string
		opts       []option
	}{
		{name: "signaling's port", args: []string{"--listen", taken}, says: "address already in use", hint: "--listen"},
		{name: "the relay's port", args: []string{"--turn-listen", udp}, says: "address already in use", hint: "--turn-listen"},
		{name: "unreadable key", args: []string{"--cert", one, "--key", one}, says: "permission denied", hint: "--key", opts: []option{asNobody}},
		{name: "absent key", args: []string{"--cert", one, "--key", files + "/absent.pem"}, says: "absent.pem", hint: "--key"},
		{name: "another's key", args: []string{"--cert", one, "--key", two}, says: "two.example.pem", hint: "belong together"},
		{name: "key without key", args: []string{"--cert", one, "--key", file}, says: "file", hint: "PEM"},
		{name: "data directory is a file", args: []string{"--data", file}, says: "not a directory", hint: "--data"},
		{name: "data directory of somebody else", args: []string{"--data", readOnly}, says: "permission denied", hint: "--data", opts: []option{asNobody}},
		{name: "data directory below one", args: []string{"--data", readOnly + "/data"}, says: "permission denied", hint: "--data", opts: []option{asNobody}},
		{name: "no Redis", args: []string{"--redis", "redis://" + closedPort(t)}, says: "connection refused", hint: "redis-cli"},
		{name: "unknown key", args: []string{"--config", config}, says: `unknown key "turn-listn"`, hint: "did you mean turn-listen?"},
		{name: "a port below 1024", args: []string{"--listen", "127.0.0.1:443"}, says: "permission denied", hint: "1024", opts: []option{asNobody}},
		{name: "an address of another machine", args: []string{"--turn-listen", "192.0.2.99:0"}, says: "cannot assign", hint: "--turn-listen"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			data := newDataDir(t)
			if tt.opts != nil { // root does not take a directory of nobody's
				if err := os.Chown(data, nobody, nobody); err != nil {
					t.Fatal(err)
				}
			}
			argv := append([]string{sigctl, "serve", "--data", data}, loopback...)
			opts := append([]option{withEnv("TMPDIR=" + data)}, tt.opts...)
			p := run(t, "serve", append(argv, tt.args...), opts...)
			p.wantExit(2)
			wantComplaint(t, p.err.all(), tt.says, tt.hint)
			if _, err := os.Stat(filepath.Join(data, "run", "admin.sock")); err == nil {
				t.Error("its admin socket is still there")
			}
			serveIn(t, data, nil, tt.opts...) // nothing is in its way
		})
	}
}

// wantComplaint checks that a program said one thing, and what to do.
func wantComplaint(t *testing.T, text, says, hint string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if !strings.HasPrefix(lines[0], "sigctl: ") || !strings.Contains(lines[0], says) {
		t.Errorf("it says %q, want one line with %q", lines[0], says)
	}
	hints := lines[1:]
	for _, line := range hints {
		if !strings.HasPrefix(line, "hint: ") {
			t.Errorf("line %q is neither the fault nor a hint", line)
		}
	}
	if !strings.Contains(strings.Join(hints, "\n"), hint) {
		t.Errorf("hints %q, want one with %q", hints, hint)
	}
}

// takePorts listens as another program would.
func takePorts(t *testing.T) (tcp, udp string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return l.Addr().String(), c.LocalAddr().String()
}

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", freePort(t))
}

// issue returns a file with a certificate for host and its key.
func issue(t *testing.T, dir, host string) string {
	t.Helper()
	path := filepath.Join(dir, host+".pem")
	run(t, "cert", []string{sigctl, "--data", filepath.Join(dir, "data"), "cert", "server", host, "--out", path}).wantExit(0)
	return path
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
