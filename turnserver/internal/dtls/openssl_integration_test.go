//go:build integration

package dtls

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net/netip"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/udp"
)

func newRSACertificate(t *testing.T) *tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestOpenSSL: a client that is not pion/dtls's says hello, in what versions, curves and ciphers it may.
func TestOpenSSL(t *testing.T) {
	ecdsa, rsa := newCertificate(t), newRSACertificate(t)
	for name, c := range map[string]struct {
		certificate *tls.Certificate
		args        []string
		refused     bool
	}{
		"DTLS 1.2":         {ecdsa, []string{"-dtls1_2"}, false},
		"any DTLS":         {ecdsa, []string{"-dtls"}, false},
		"RSA":              {rsa, []string{"-dtls1_2"}, false},
		"P-256":            {ecdsa, []string{"-dtls1_2", "-groups", "P-256"}, false},
		"P-384":            {rsa, []string{"-dtls1_2", "-groups", "P-384"}, false},
		"ChaCha20":         {ecdsa, []string{"-dtls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"}, false},
		"AES-256":          {rsa, []string{"-dtls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"}, false},
		"CBC":              {ecdsa, []string{"-dtls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA"}, true},
		"without secrecy":  {rsa, []string{"-dtls1_2", "-cipher", "AES128-GCM-SHA256"}, true},
		"DTLS 1.0":         {ecdsa, []string{"-dtls1", "-cipher", "DEFAULT@SECLEVEL=0"}, true},
		"server name, MTU": {ecdsa, []string{"-dtls1_2", "-servername", "example.com", "-mtu", "600"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, addresses := served(t, &Config{Certificate: fixed(c.certificate), Handle: echo}, 1)
			s := startOpenSSL(t, append(c.args, "-quiet", "-connect", addresses[0].String())...)
			line, _ := s.out.ReadString('\n')
			if refused := line != "hello\n"; refused != c.refused {
				t.Errorf("openssl s_client read %q, refused %v, want refused %v\n%s%+v", line, refused, c.refused, s.wait(), l.Stats())
			}
		})
	}
}

// lossy is a socket that loses one packet, from 0, of those that are sent.
type lossy struct {
	*udp.Socket
	n atomic.Int64
}

func (l *lossy) WriteTo(p []byte, to netip.AddrPort) error {
	if l.n.Add(-1) == -1 {
		return nil
	}
	return l.Socket.WriteTo(p, to)
}

// TestOpenSSLLoss: a client that takes no sequence number twice gets in, whatever is lost.
func TestOpenSSLLoss(t *testing.T) {
	for n := range 3 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			l, err := New(&Config{Certificate: fixed(newCertificate(t)), Handle: echo})
			if err != nil {
				t.Fatal(err)
			}
			s, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), nil)
			if err != nil {
				t.Fatal(err)
			}
			socket := &lossy{Socket: s}
			socket.n.Store(int64(n))
			var serving sync.WaitGroup
			serving.Go(func() {
				_ = s.Serve(func(batch []udp.Packet) {
					for _, p := range batch {
						l.receive(socket, p.From, p.Data)
					}
				})
			})
			defer func() {
				l.Close()
				s.Close()
				serving.Wait()
			}()
			client := startOpenSSL(t, "-dtls1_2", "-quiet", "-connect", s.LocalAddr().String())
			if line, _ := client.out.ReadString('\n'); line != "hello\n" {
				t.Errorf("openssl s_client read %q, want hello\n%s%+v", line, client.wait(), l.Stats())
			}
		})
	}
}

type openSSL struct {
	out  *bufio.Reader
	wait func() (messages string)
}

// startOpenSSL starts a client that has a line to say.
func startOpenSSL(t *testing.T, args ...string) openSSL {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", append([]string{"s_client"}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var messages bytes.Buffer
	cmd.Stderr = &messages
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wait := func() string {
		in.Close()
		_ = cmd.Wait() // it ends with 1 if the session does
		return messages.String()
	}
	t.Cleanup(func() { wait() })
	if _, err := in.Write([]byte("hello\n")); err != nil {
		t.Fatal(err)
	}
	return openSSL{bufio.NewReader(out), wait}
}
