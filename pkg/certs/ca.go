package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

const (
	caLifetime   = 10 * 365 * 24 * time.Hour
	leafLifetime = 397 * 24 * time.Hour // the most that browsers accept
	clockSkew    = time.Hour            // certificates begin this much earlier

	caDir               = "ca"
	rootFile            = "root.pem"
	rootKeyFile         = "root-key.pem"
	intermediateFile    = "intermediate.pem"
	intermediateKeyFile = "intermediate-key.pem"
)

// CA is a development certificate authority: a root and an intermediate that issues.
type CA struct {
	path         string // its directory
	root         *x509.Certificate
	intermediate *x509.Certificate
	key          *ecdsa.PrivateKey // the intermediate's
	now          func() time.Time
}

// Issued is a certificate with its key, in PEM.
type Issued struct {
	Chain []byte // the certificate, then the intermediate
	Key   []byte // PKCS #8
}

// OpenCA opens the CA in the data directory dir, and makes directory and CA (ECDSA P-256, ten years) where there
// is none. Of several processes that make one at the same time, one wins and all get its CA.
func OpenCA(dir string) (*CA, error) { return openCA(dir, time.Now) }

func openCA(dir string, now func() time.Time) (*CA, error) {
	path := filepath.Join(dir, caDir)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := createCA(dir, now()); err != nil {
			return nil, fmt.Errorf("create development CA in %s: %w", path, err)
		}
	}
	ca, err := loadCA(path, now)
	if err != nil {
		return nil, fmt.Errorf("load development CA in %s (remove the directory to get a new one): %w", path, err)
	}
	return ca, nil
}

// RootPEM is what clients have to trust.
func (ca *CA) RootPEM() []byte { return encodeCertificates(ca.root) }

// BundlePEM is the root and the intermediate: what a server has to know of clients that send their own certificate alone.
func (ca *CA) BundlePEM() []byte { return encodeCertificates(ca.root, ca.intermediate) }

// Root is the certificate that clients have to trust.
func (ca *CA) Root() *x509.Certificate { return ca.root }

// Server issues a certificate for a TLS server, good for 397 days or as long as the CA. Hosts are DNS names, the
// leftmost label may be *, and IP addresses.
func (ca *CA) Server(hosts ...string) (Issued, error) {
	if len(hosts) == 0 {
		return Issued{}, errors.New("no host: give at least one DNS name or IP address")
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"sigctl development"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if isDNSName(host) {
			template.DNSNames = append(template.DNSNames, strings.ToLower(host))
		} else {
			return Issued{}, fmt.Errorf("host %q is neither a DNS name nor an IP address", host)
		}
	}
	return ca.issue(template)
}

// Client issues a certificate for a TLS client, good for 397 days or as long as the CA. Name, a user's (see
// protocol.ValidName), becomes the common name and, if it is an e-mail address, an alternative name too. Also are
// further alternative names: URIs, and e-mail addresses.
func (ca *CA) Client(name string, also ...string) (Issued, error) {
	if !protocol.ValidName(name) {
		return Issued{}, fmt.Errorf("client name %q: use 1 to %d of letters, digits, . _ @ + -", name, protocol.MaxNameLen)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if isEmail(name) {
		template.EmailAddresses = []string{name}
	}
	for _, other := range also {
		if isEmail(other) {
			if other != name {
				template.EmailAddresses = append(template.EmailAddresses, other)
			}
		} else if uri, err := url.Parse(other); err == nil && uri.IsAbs() {
			template.URIs = append(template.URIs, uri)
		} else {
			return Issued{}, fmt.Errorf("alternative name %q is neither an e-mail address nor a URI (like spiffe://example.com/alice)", other)
		}
	}
	return ca.issue(template)
}

func isEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}

func (ca *CA) issue(template *x509.Certificate) (Issued, error) {
	key, err := newKey()
	if err != nil {
		return Issued{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	template.NotBefore = ca.now().Add(-clockSkew)
	template.NotAfter = template.NotBefore.Add(leafLifetime)
	if template.NotAfter.After(ca.intermediate.NotAfter) {
		template.NotAfter = ca.intermediate.NotAfter
	}
	certificate, err := sign(template, ca.intermediate, &key.PublicKey, ca.key)
	if err != nil {
		return Issued{}, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return Issued{}, err
	}
	return Issued{Chain: encodeCertificates(certificate, ca.intermediate), Key: keyPEM}, nil
}

// createCA builds the CA in a directory of its own and renames that, so there is a whole CA or none.
func createCA(dir string, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	files, err := newCA(now)
	if err != nil {
		return err
	}
	building, err := os.MkdirTemp(dir, ".ca-") // mode 0700
	if err != nil {
		return err
	}
	defer os.RemoveAll(building)
	for name, text := range files {
		if err := writeSynced(filepath.Join(building, name), text); err != nil {
			return err
		}
	}
	path := filepath.Join(dir, caDir)
	if err := os.Rename(building, path); err != nil {
		if _, lost := os.Stat(path); lost == nil {
			return nil // another process was faster
		}
		return err
	}
	return syncDir(dir)
}

// newCA returns the files of a new CA.
func newCA(now time.Time) (map[string][]byte, error) {
	rootKey, err := newKey()
	if err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	id := strings.ToLower(rand.Text()[:6]) // tells the CAs of several machines apart in a trust store
	root, err := signCA("sigctl development root "+id, now, nil, &rootKey.PublicKey, rootKey)
	if err != nil {
		return nil, err
	}
	intermediate, err := signCA("sigctl development intermediate "+id, now, root, &key.PublicKey, rootKey)
	if err != nil {
		return nil, err
	}
	rootKeyPEM, err := encodeKey(rootKey)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	return map[string][]byte{
		rootFile: encodeCertificates(root), rootKeyFile: rootKeyPEM,
		intermediateFile: encodeCertificates(intermediate), intermediateKeyFile: keyPEM,
	}, err
}

// signCA makes a CA certificate: a root without a parent, otherwise an intermediate that can issue leaves alone.
func signCA(name string, now time.Time, parent *x509.Certificate, key *ecdsa.PublicKey, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"sigctl development"}, CommonName: name},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            1,
	}
	if parent == nil {
		return sign(template, template, key, by)
	}
	template.MaxPathLen, template.MaxPathLenZero = 0, true
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return sign(template, parent, key, by)
}

func sign(template, parent *x509.Certificate, key *ecdsa.PublicKey, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// loadCA reads what createCA wrote, except for the root's key, which may have been moved away.
func loadCA(path string, now func() time.Time) (*CA, error) {
	root, err := readCertificates(filepath.Join(path, rootFile))
	if err != nil {
		return nil, err
	}
	pair, err := readPair(filepath.Join(path, intermediateFile), filepath.Join(path, intermediateKeyFile))
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no ECDSA key", intermediateKeyFile)
	}
	ca := &CA{path: path, root: root[0], intermediate: pair.Leaf, key: key, now: now}
	if err := ca.intermediate.CheckSignatureFrom(ca.root); err != nil {
		return nil, fmt.Errorf("%s was not issued by %s: %w", intermediateFile, rootFile, err)
	}
	if end := ca.intermediate.NotAfter; now().After(end) {
		return nil, fmt.Errorf("it expired on %s", end.Format(time.DateOnly))
	}
	return ca, nil
}
