package certs

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"sync/atomic"
	"time"
)

// Reloader is a server certificate that follows its files. It has no goroutine: a handshake looks, at most once a
// second. While the files are broken the last good certificate stays, which is logged once.
type Reloader struct {
	files   watch
	current atomic.Pointer[tls.Certificate]
}

// Load reads a certificate chain and its key from PEM files and follows them. Both may be one file. An expired
// certificate is loaded, with a warning.
func Load(certFile, keyFile string, log *slog.Logger) (*Reloader, error) {
	return load(certFile, keyFile, nil, log, time.Now)
}

func load(certFile, keyFile string, renew func(*x509.Certificate) error, log *slog.Logger, now func() time.Time) (*Reloader, error) {
	r := &Reloader{files: watch{what: "certificate", files: []string{certFile, keyFile}, log: log, now: now}}
	r.files.load = r.load
	if renew != nil {
		r.files.renew = func() error { return renew(r.Leaf()) }
	}
	if err := r.files.start(); err != nil {
		return nil, err
	}
	return r, nil
}

// TLS returns a server's configuration: TLS 1.2 or later, this certificate, and the application protocols that
// the caller speaks. A WebSocket server names "http/1.1" alone: it cannot take over an HTTP/2 connection.
func (r *Reloader) TLS(nextProtos ...string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: r.GetCertificate, NextProtos: nextProtos}
}

// GetCertificate is for tls.Config. It never fails.
func (r *Reloader) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	r.files.poll()
	return r.current.Load(), nil
}

// Leaf is the certificate in use, without its chain.
func (r *Reloader) Leaf() *x509.Certificate { return r.current.Load().Leaf }

func (r *Reloader) load() (expires time.Time, err error) {
	pair, err := readPair(r.files.files[0], r.files.files[1])
	if err != nil {
		return time.Time{}, err
	}
	r.current.Store(pair)
	return pair.Leaf.NotAfter, nil
}
