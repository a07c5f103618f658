//go:build integration

// Package deploy tests that the configurations of nginx and HAProxy here, unchanged,
// tell the server behind them who its clients are, whatever these say of themselves.
//
// It needs root, nginx with its stream module, and HAProxy. Each proxy runs in a
// network namespace of its own, where the ports 80 and 443 are free.
package deploy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serverName is the name in the configurations.
const serverName = "signal.example.com"

// patience ends a test that hangs. No test passes by waiting for it.
const patience = 2 * time.Minute

// configurations, and how each is run: checked and in the foreground. What nginx
// writes beside its connections it writes to file systems of its own.
var configurations = []struct {
	file        string
	passthrough bool
	check, run  string
}{
	{"nginx/termination.conf", false, privateNginx + "-t", privateNginx + "-g 'daemon off;'"},
	{"nginx/passthrough.conf", true, privateNginx + "-t", privateNginx + "-g 'daemon off;'"},
	{"haproxy/termination.cfg", false, "exec haproxy -c -f $CONFIG", "exec haproxy -db -f $CONFIG"},
	{"haproxy/passthrough.cfg", true, "exec haproxy -c -f $CONFIG", "exec haproxy -db -f $CONFIG"},
}

const privateNginx = "set -e; for dir in /run /var/log/nginx /var/lib/nginx; do mount -t tmpfs tmpfs $dir; done; exec nginx -c $CONFIG "

// site is a proxy with a backend, and a client on another machine.
type site struct {
	t       *testing.T
	client  machine
	backend *backend
	roots   *x509.CertPool
}

func TestConfigurations(t *testing.T) {
	for _, program := range []string{"nginx", "haproxy"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing: install the Debian packages nginx, libnginx-mod-stream and haproxy", program)
		}
	}
	for _, c := range configurations {
		t.Run(c.file, func(t *testing.T) {
			proxy, client := newNetwork(t)
			cert, key := newCertificate(t)
			s := &site{t: t, client: client, roots: x509.NewCertPool()}
			s.roots.AppendCertsFromPEM(cert)
			var backendTLS *tls.Config
			if c.passthrough {
				pair, err := tls.X509KeyPair(cert, key)
				if err != nil {
					t.Fatal(err)
				}
				backendTLS = &tls.Config{Certificates: []tls.Certificate{pair}}
			}
			s.backend = startBackend(t, proxy, backendTLS)
			config := install(t, c.file, cert, key)
			if out, err := proxy.command(c.check, config).CombinedOutput(); err != nil || bytes.Contains(out, []byte("[warn")) {
				t.Fatalf("check: %v\n%s", err, out)
			}
			s.start(proxy.command(c.run, config))
			s.testClient(c.passthrough)
			s.testRedirect()
			if !c.passthrough {
				s.testNames()
			}
			s.backend.wantClients(t, client4, client6)
		})
	}
}

// install copies a configuration to where its certificates are.
func install(t *testing.T, file string, cert, key []byte) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		filepath.Base(file): text,
		serverName + ".pem": slices.Concat(cert, key), // HAProxy's form; nginx takes the certificate from it
		serverName + ".key": key,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, filepath.Base(file))
}

// command runs a shell script on the machine.
func (m machine) command(script, config string) *exec.Cmd {
	cmd := exec.Command("ip", "netns", "exec", string(m), "sh", "-c", script)
	cmd.Env = append(os.Environ(), "CONFIG="+config)
	return cmd
}

// start runs the proxy until the end of the test, and waits until it listens.
func (s *site) start(cmd *exec.Cmd) {
	s.t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait() // how it ended is not asked
	}()
	s.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if s.t.Failed() {
			s.t.Logf("the proxy printed:\n%s", &out)
		}
	})
	for end := time.Now().Add(patience); ; {
		nc, err := s.client.dial(s.t.Context(), "tcp", net.JoinHostPort(proxy4, "443"))
		if err == nil {
			nc.Close()
			return
		}
		select {
		case <-ended:
			s.t.Fatal("the proxy has ended")
		default:
		}
		if time.Now().After(end) {
			s.t.Fatalf("the proxy does not listen: %v", err)
		}
	}
}

// request sends lines as they are, over TLS unless name is empty, behind what a
// client may write in front.
func (s *site) request(addr, name, front string, lines ...string) (*http.Response, []byte, error) {
	nc, err := s.client.dial(s.t.Context(), "tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(nc, front); err != nil {
		return nil, nil, err
	}
	if name != "" {
		nc = tls.Client(nc, &tls.Config{RootCAs: s.roots, ServerName: name})
	}
	if _, err := io.WriteString(nc, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		return nil, nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}
