package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Pool returns the CA certificates in path and nothing else: a PEM file, or a data directory, whose development
// CA it is.
func Pool(path string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if err := addTo(pool, path); err != nil {
		return nil, err
	}
	return pool, nil
}

// SystemPool returns the system's CA certificates and those in path, if there is such a file or development CA.
func SystemPool(path string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if err := addTo(pool, path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return pool, nil
}

func addTo(pool *x509.CertPool, path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, caDir, rootFile)
	}
	certificates, err := readCertificates(path)
	if err != nil {
		return fmt.Errorf("read CA certificates: %w", err)
	}
	for _, c := range certificates {
		pool.AddCert(c)
	}
	return nil
}
