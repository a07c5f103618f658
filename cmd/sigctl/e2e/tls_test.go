//go:build integration

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// openssl asks the server's TLS with openssl s_client and returns what it says.
func (s *server) openssl(t *testing.T, args ...string) (out string, ok bool) {
	t.Helper()
	argv := append([]string{needProgram(t, "openssl", "openssl"), "s_client", "-connect", s.addr(),
		"-CAfile", s.caFile(), "-verify_return_error"}, args...)
	p := run(t, "openssl", argv)
	return p.out.all() + p.err.all(), p.cmd.ProcessState.Success()
}

func TestTLSVersions(t *testing.T) {
	t.Parallel()
	s := startServe(t, "--demo")
	for _, tt := range []struct {
		args   string
		speaks bool
		want   string
	}{
		{"-tls1_3", true, "New, TLSv1.3"},
		{"-tls1_2", true, "New, TLSv1.2"},
		{"-tls1_1 -cipher ALL:@SECLEVEL=0", false, "alert protocol version"},
		{"-tls1 -cipher ALL:@SECLEVEL=0", false, "alert protocol version"},
		{"-tls1_2 -cipher AES128-SHA", false, "handshake failure"}, // no forward secrecy
	} {
		out, ok := s.openssl(t, strings.Fields(tt.args)...)
		if ok != tt.speaks || !strings.Contains(out, tt.want) {
			t.Errorf("openssl s_client %s: success %v, want %v and %q:\n%s", tt.args, ok, tt.speaks, tt.want, out)
		}
	}
}

func (s *server) curl(t *testing.T, url string, args ...string) string {
	t.Helper()
	argv := append([]string{needProgram(t, "curl", "curl"), "--silent", "--show-error", "--cacert", s.caFile(),
		"--write-out", "\n%{http_code}", url}, args...)
	p := run(t, "curl "+url, argv)
	return p.out.all() + p.err.all()
}

func TestCurl(t *testing.T) {
	t.Parallel()
	s := startServe(t, "--demo")
	for _, tt := range []struct{ url, want string }{
		{"https://" + s.addr() + "/healthz", "OK\n200"},
		{"https://" + s.addr() + "/", "<!doctype html>"},
		{"https://" + s.addr() + "/nowhere", "\n404"},
		{"http://" + s.addr() + "/", "HTTPS"},
		{"http://" + s.addr() + "/", "\n400"},
	} {
		if got := s.curl(t, tt.url); !strings.Contains(got, tt.want) {
			t.Errorf("curl %s: want %q in:\n%s", tt.url, tt.want, tail(got))
		}
	}
}

// Certificate files that are replaced, one after the other as most programs do,
// are taken up by a server that runs.
func TestCertificateReplaced(t *testing.T) {
	t.Parallel()
	data := newDataDir(t)
	cert, key := filepath.Join(data, "cert.pem"), filepath.Join(data, "key.pem")
	replace := func(host string) {
		t.Helper()
		issued := filepath.Join(t.TempDir(), "issued.pem")
		run(t, "cert", []string{sigctl, "--data", data, "cert", "server", "127.0.0.1", host, "--out", issued}).wantExit(0)
		text, err := os.ReadFile(issued)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{cert, key} {
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace("before.example")
	s := serveIn(t, data, []string{"--demo", "--cert", cert, "--key", key})
	serves := func(host string) bool {
		out, ok := s.openssl(t, "-verify_hostname", host)
		return ok && strings.Contains(out, "Verify return code: 0 (ok)")
	}
	if !serves("before.example") {
		t.Fatal("the first certificate is not served")
	}
	replace("after.example")
	until(t, "the new certificate is served", func() bool { return serves("after.example") })
	if serves("before.example") {
		t.Error("the old certificate is still served")
	}
}
