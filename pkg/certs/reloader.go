package certs

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// statEvery is how often, at most, a handshake looks whether the files have changed.
const statEvery = time.Second

// Reloader is a server certificate that follows its files. It has no goroutine: a handshake looks, at most once a
// second. While the files are broken the last good certificate stays, which is logged once.
type Reloader struct {
	// set at construction
	certFile, keyFile string
	renew             func(*x509.Certificate) error // writes new files if it has to; nil: somebody else does
	log               *slog.Logger
	now               func() time.Time

	current atomic.Pointer[tls.Certificate]

	// guarded by mu, which a handshake only tries: one looks, the others go on with the current certificate
	mu        sync.Mutex
	looked    time.Time
	loaded    stamp  // the files that current came from
	complaint string // the fault that was logged last, empty when there is none
}

// stamp tells whether one of the two files was replaced.
type stamp struct{ cert, key os.FileInfo }

// Load reads a certificate chain and its key from PEM files and follows them. Both may be one file. An expired
// certificate is loaded, with a warning.
func Load(certFile, keyFile string, log *slog.Logger) (*Reloader, error) {
	return load(certFile, keyFile, nil, log, time.Now)
}

func load(certFile, keyFile string, renew func(*x509.Certificate) error, log *slog.Logger, now func() time.Time) (*Reloader, error) {
	r := &Reloader{certFile: certFile, keyFile: keyFile, renew: renew, log: log, now: now, looked: now()}
	r.loaded = r.stamp()
	if err := r.load(); err != nil {
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
	if r.mu.TryLock() {
		if now := r.now(); now.Sub(r.looked) >= statEvery {
			r.looked = now
			r.look()
		}
		r.mu.Unlock()
	}
	return r.current.Load(), nil
}

// Leaf is the certificate in use, without its chain.
func (r *Reloader) Leaf() *x509.Certificate { return r.current.Load().Leaf }

// look loads the files if they are not those of the current certificate.
func (r *Reloader) look() {
	seen, err := r.stamp(), error(nil)
	if r.renew != nil {
		err = r.renew(r.Leaf())
		seen = r.stamp()
	}
	if err == nil && !seen.equal(r.loaded) {
		if err = r.load(); err == nil {
			r.loaded = seen
			r.log.Info("certificate replaced", "file", r.certFile, "expires", r.Leaf().NotAfter)
		}
	}
	r.complain(err)
}

// complain logs a fault once, however long it lasts.
func (r *Reloader) complain(err error) {
	if err == nil {
		r.complaint = ""
		return
	}
	if text := err.Error(); text != r.complaint {
		r.complaint = text
		r.log.Error("certificate not replaced, the old one stays", "file", r.certFile, "err", err)
	}
}

func (r *Reloader) load() error {
	pair, err := readPair(r.certFile, r.keyFile)
	if err != nil {
		return err
	}
	if end := pair.Leaf.NotAfter; r.now().After(end) {
		r.log.Warn("certificate has expired, clients will refuse it", "file", r.certFile, "expired", end)
	}
	r.current.Store(pair)
	return nil
}

func (r *Reloader) stamp() stamp {
	return stamp{stampOf(r.certFile), stampOf(r.keyFile)}
}

// stampOf a file that cannot be looked at is nil, so that a file that comes back counts as new.
func stampOf(path string) os.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return info
}

func (s stamp) equal(o stamp) bool { return sameFile(s.cert, o.cert) && sameFile(s.key, o.key) }

// sameFile asks for the identity too: a modification time is only as fine as the kernel's tick.
func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
