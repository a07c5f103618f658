package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

const (
	typeCertificate = "CERTIFICATE"
	typeKey         = "PRIVATE KEY"
)

func encodeCertificates(certificates ...*x509.Certificate) []byte {
	var text bytes.Buffer
	for _, c := range certificates {
		pem.Encode(&text, &pem.Block{Type: typeCertificate, Bytes: c.Raw}) // a Buffer does not fail
	}
	return text.Bytes()
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: typeKey, Bytes: der}), nil
}

// readCertificates reads at least one certificate from a PEM file.
func readCertificates(path string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	blocks, err := pemBlocks(text, typeCertificate)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(blocks) == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM (-----BEGIN CERTIFICATE-----)", path)
	}
	var certificates []*x509.Certificate
	for _, der := range blocks {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		certificates = append(certificates, c)
	}
	return certificates, nil
}

// pemBlocks returns what text has of blocks of one type. One that is cut off or damaged is an error: encoding/pem
// would skip it.
func pemBlocks(text []byte, blockType string) ([][]byte, error) {
	var blocks [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == blockType {
			blocks = append(blocks, block.Bytes)
		}
	}
	if began := bytes.Count(text, []byte("-----BEGIN "+blockType+"-----")); began != len(blocks) {
		return nil, fmt.Errorf("of its %d %s blocks only %d are whole PEM", began, blockType, len(blocks))
	}
	return blocks, nil
}

// readPair reads a certificate chain and its key. Both may be in one file.
func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	chain, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	certificates, err := readCertificates(certFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if !bytes.Contains(key, []byte(typeKey+"-----")) {
		return nil, fmt.Errorf("read key: %s holds no private key in PEM (-----BEGIN PRIVATE KEY-----)", keyFile)
	}
	pair, err := tls.X509KeyPair(chain, key)
	switch {
	case err != nil && isKeyOfAny(certificates[1:], key):
		return nil, fmt.Errorf("certificate %s: the server's own certificate must be the first in it", certFile)
	case err != nil:
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return &pair, nil
}

func isKeyOfAny(certificates []*x509.Certificate, key []byte) bool {
	return slices.ContainsFunc(certificates, func(c *x509.Certificate) bool {
		_, err := tls.X509KeyPair(encodeCertificates(c), key)
		return err == nil
	})
}

// writeSynced writes a new file that only its owner can read, and waits for the disk.
func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return writeAndClose(f, text)
}

// replaceFile writes path, mode 0600, so that a reader sees the old text or the new one, whatever happens.
func replaceFile(path string, text []byte) error {
	dir, name := filepath.Split(path)
	f, err := os.CreateTemp(dir, "."+name+"-") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	if err := writeAndClose(f, text); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeAndClose(f *os.File, text []byte) error {
	_, err := f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// syncDir makes a rename in dir last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
