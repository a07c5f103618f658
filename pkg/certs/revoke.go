package certs

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
)

const (
	crlFile     = "crl.pem"
	crlLock     = ".crl.lock"
	crlLifetime = 30 * 24 * time.Hour
)

// CRLPath is the file of the CA's revocation list.
func (ca *CA) CRLPath() string { return filepath.Join(ca.path, crlFile) }

// CRL returns the CA's revocation list (RFC 5280, section 5), good for 30 days. It is written to CRLPath, with the next
// number, if there is none yet, if half of its time is over, or to renew it.
func (ca *CA) CRL(renew bool) (*x509.RevocationList, error) {
	return ca.updateCRL(func(list *x509.RevocationList) bool {
		return renew || list.NextUpdate.Sub(ca.now()) < crlLifetime/2
	})
}

// Revoke adds the certificates of PEM files, the first of each, to the CA's revocation list, and renews that. Nothing
// is changed unless all of them are certificates of this CA. It returns the list.
func (ca *CA) Revoke(files ...string) (*x509.RevocationList, error) {
	var revoked []*x509.Certificate
	for _, file := range files {
		certificates, err := readCertificates(file)
		if err != nil {
			return nil, fmt.Errorf("revoke: %w", err)
		}
		if err := certificates[0].CheckSignatureFrom(ca.intermediate); err != nil {
			return nil, fmt.Errorf("revoke: %s was not issued by the CA in %s", file, ca.path)
		}
		revoked = append(revoked, certificates[0])
	}
	return ca.updateCRL(func(list *x509.RevocationList) bool {
		for _, c := range revoked {
			if !slices.ContainsFunc(list.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
				return e.SerialNumber.Cmp(c.SerialNumber) == 0
			}) {
				list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
					x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: ca.now()})
			}
		}
		return true
	})
}

// updateCRL writes the list anew if change says so. Of several processes at once none loses what another revoked.
func (ca *CA) updateCRL(change func(*x509.RevocationList) bool) (*x509.RevocationList, error) {
	unlock, err := lockedfile.MutexAt(filepath.Join(ca.path, crlLock)).Lock()
	if err != nil {
		return nil, fmt.Errorf("lock revocation list: %w", err)
	}
	defer unlock()
	list, err := ca.readCRL()
	if err != nil {
		return nil, fmt.Errorf("read revocation list (restore it; or remove it, and revoke again all that were on it): %w", err)
	}
	if !change(list) {
		return list, nil
	}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		RevokedCertificateEntries: list.RevokedCertificateEntries,
		Number:                    list.Number.Add(list.Number, big.NewInt(1)),
		ThisUpdate:                ca.now().Add(-clockSkew),
		NextUpdate:                ca.now().Add(crlLifetime),
	}, ca.intermediate, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign revocation list: %w", err)
	}
	if err := replaceFile(ca.CRLPath(), pem.EncodeToMemory(&pem.Block{Type: typeCRL, Bytes: der})); err != nil {
		return nil, fmt.Errorf("write revocation list: %w", err)
	}
	return x509.ParseRevocationList(der)
}

// readCRL returns the list as it is, number 0 and long over if there is none. A broken one is an error: to start afresh
// would pardon those on it.
func (ca *CA) readCRL() (*x509.RevocationList, error) {
	text, err := os.ReadFile(ca.CRLPath())
	if errors.Is(err, fs.ErrNotExist) {
		return &x509.RevocationList{Number: new(big.Int)}, nil
	}
	if err != nil {
		return nil, err
	}
	blocks, err := pemBlocks(text, typeCRL)
	if err == nil && len(blocks) != 1 {
		err = errors.New("it should hold one revocation list in PEM")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ca.CRLPath(), err)
	}
	list, err := x509.ParseRevocationList(blocks[0])
	if err == nil {
		err = list.CheckSignatureFrom(ca.intermediate)
	}
	if err == nil && list.Number == nil {
		err = errors.New("it has no number")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ca.CRLPath(), err)
	}
	return list, nil
}
