//go:build integration

package certs

import (
	"crypto/tls"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// openssl runs the program and returns all it prints. It reads nothing.
func openssl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("openssl is missing: install the package openssl")
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	return string(out), err
}

func TestOpenSSLVerifies(t *testing.T) {
	dir := t.TempDir()
	ca := newTestCA(t)
	root := write(t, dir, "root.pem", ca.RootPEM())
	server := write(t, dir, "server.pem", mustIssue(t)(ca.Server("sigctl.example.com", "127.0.0.1", "::1")).Chain)
	client := write(t, dir, "client.pem", mustIssue(t)(ca.Client("alice@example.com")).Chain)
	tests := []struct {
		args string
		cert string
		ok   bool
	}{
		{"-purpose sslserver -verify_hostname sigctl.example.com", server, true},
		{"-purpose sslserver -verify_ip 127.0.0.1", server, true},
		{"-purpose sslserver -verify_ip ::1", server, true},
		{"-purpose sslserver -verify_hostname other.example.com", server, false},
		{"-purpose sslclient", server, false},
		{"-purpose sslclient -verify_email alice@example.com", client, true},
		{"-purpose sslserver", client, false},
		{"-purpose smimesign", client, false},
	}
	for _, tt := range tests {
		args := append([]string{"verify", "-x509_strict", "-CAfile", root, "-untrusted", tt.cert}, strings.Fields(tt.args)...)
		out, err := openssl(t, append(args, tt.cert)...)
		if (err == nil) != tt.ok || strings.HasSuffix(strings.TrimSpace(out), ": OK") != tt.ok {
			t.Errorf("openssl verify %s: got %v, want success %v:\n%s", tt.args, err, tt.ok, out)
		}
	}
}

func TestOpenSSLConnects(t *testing.T) {
	dir := t.TempDir()
	r, err := Development(dir, nil, new(logBuffer).logger())
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", r.TLS("http/1.1"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); greetAll(l) }()
	root := dir + "/" + caDir + "/" + rootFile
	connect := []string{"s_client", "-connect", l.Addr().String(), "-CAfile", root, "-verify_return_error", "-alpn", "h2,http/1.1"}
	out, err := openssl(t, append(connect, "-verify_ip", "127.0.0.1")...)
	for _, want := range []string{"Verify return code: 0 (ok)", "ALPN protocol: http/1.1"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("s_client: got %v, want %q in\n%s", err, want, out)
		}
	}
	if out, err := openssl(t, append(connect, "-verify_ip", "127.0.0.2")...); err == nil {
		t.Errorf("s_client for another address: got no error:\n%s", out)
	}
	if out, err := openssl(t, append(connect, "-tls1_1")...); err == nil {
		t.Errorf("s_client with TLS 1.1: got no error:\n%s", out)
	}
	l.Close()
	<-done
}

// greetAll handshakes with each client, one after the other, until the listener closes.
func greetAll(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.(*tls.Conn).Handshake() // s_client says what went wrong
		c.Close()
	}
}
