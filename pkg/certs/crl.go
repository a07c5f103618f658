package certs

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

const typeCRL = "X509 CRL"

// revocationLists are the CRLs (RFC 5280, section 5) of a file, the newest first.
type revocationLists []*revocationList

type revocationList struct {
	*x509.RevocationList
	revoked map[string]time.Time             // by serial number, as serialKey has it
	signer  atomic.Pointer[x509.Certificate] // whose signature proved right last: it is not checked at each handshake
}

func serialKey(serial *big.Int) string { return string(serial.Bytes()) }

// readRevocationLists reads CRLs and returns when the first of them expires. One that names a CA of b must have that
// CA's signature; others may be of CAs that clients send.
func readRevocationLists(path string, b *bundle) (revocationLists, time.Time, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	blocks, err := pemBlocks(text, typeCRL)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%s: %w", path, err)
	}
	if len(blocks) == 0 {
		blocks = [][]byte{text}
	}
	var lists revocationLists
	var expires time.Time
	for _, der := range blocks {
		list, err := parseRevocationList(der, b)
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("%s: %w", path, err)
		}
		lists = append(lists, list)
		if end := list.NextUpdate; !end.IsZero() && (expires.IsZero() || end.Before(expires)) {
			expires = end
		}
	}
	slices.SortStableFunc(lists, func(x, y *revocationList) int { return y.ThisUpdate.Compare(x.ThisUpdate) })
	return lists, expires, nil
}

func parseRevocationList(der []byte, b *bundle) (*revocationList, error) {
	parsed, err := x509.ParseRevocationList(der)
	if err == nil && len(parsed.Raw) != len(der) {
		err = errors.New("there is more behind it")
	}
	if err != nil { // openssl ca writes version 1 unless its configuration names a crlnumber file
		return nil, fmt.Errorf("not a revocation list of version 2, in PEM (-----BEGIN X509 CRL-----) or DER: %w", err)
	}
	list := &revocationList{RevocationList: withoutEntries(parsed), revoked: make(map[string]time.Time, len(parsed.RevokedCertificateEntries))}
	if err := knowsAll(parsed.Extensions); err != nil {
		return nil, fmt.Errorf("the list of %s: %w", list.issuer(), err)
	}
	for _, entry := range parsed.RevokedCertificateEntries {
		if err := knowsAll(entry.Extensions); err != nil {
			return nil, fmt.Errorf("the list of %s: %w", list.issuer(), err)
		}
		list.revoked[serialKey(entry.SerialNumber)] = entry.RevocationTime
	}
	for _, ca := range b.all {
		if list.names(ca) && !list.isFrom(ca) {
			return nil, fmt.Errorf("the list of %s does not have that CA's signature", list.issuer())
		}
	}
	return list, nil
}

// withoutEntries returns what is needed of l beside them: lists may be long, and the entries are kept as a map.
func withoutEntries(l *x509.RevocationList) *x509.RevocationList {
	return &x509.RevocationList{
		RawTBSRevocationList: l.RawTBSRevocationList, SignatureAlgorithm: l.SignatureAlgorithm, Signature: l.Signature,
		RawIssuer: l.RawIssuer, Issuer: l.Issuer, AuthorityKeyId: l.AuthorityKeyId,
		ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate,
	}
}

// knowsAll refuses what makes a list other than a full one of its issuer's own certificates: deltas, parts and indirect
// lists have critical extensions (RFC 5280, section 5.2).
func knowsAll(extensions []pkix.Extension) error {
	for _, e := range extensions {
		if e.Critical {
			return fmt.Errorf("it has the critical extension %s: give a full list, without parts and deltas", e.Id)
		}
	}
	return nil
}

func (l *revocationList) issuer() string { return short(l.Issuer.String()) }

// names reports whether the list says that it is ca's.
func (l *revocationList) names(ca *x509.Certificate) bool {
	return bytes.Equal(l.RawIssuer, ca.RawSubject) &&
		(len(l.AuthorityKeyId) == 0 || len(ca.SubjectKeyId) == 0 || bytes.Equal(l.AuthorityKeyId, ca.SubjectKeyId))
}

// isFrom reports whether ca, which the list names, signed it.
func (l *revocationList) isFrom(ca *x509.Certificate) bool {
	if known := l.signer.Load(); known != nil && bytes.Equal(known.RawSubjectPublicKeyInfo, ca.RawSubjectPublicKeyInfo) {
		return true
	}
	if l.CheckSignatureFrom(ca) != nil {
		return false
	}
	l.signer.Store(ca)
	return true
}

// check refuses a chain with a revoked certificate. The issuer of the first, the client's, must have a list; a CA on
// the way is checked if its issuer has one.
func (ls revocationLists) check(chain []*x509.Certificate, now time.Time) error {
	for i, c := range chain[:len(chain)-1] {
		issuer := chain[i+1]
		list := ls.of(issuer, now)
		if list == nil && i == 0 {
			return fmt.Errorf("no revocation list: of its issuer %s", nameOf(issuer))
		}
		if list == nil {
			continue
		}
		if end := list.NextUpdate; !end.IsZero() && now.After(end) {
			return fmt.Errorf("revocation list expired: that of %s, on %s", nameOf(issuer), stamp(end))
		}
		if when, revoked := list.revoked[serialKey(c.SerialNumber)]; revoked {
			return fmt.Errorf("revoked: %s, by %s on %s", nameOf(c), nameOf(issuer), stamp(when))
		}
	}
	return nil
}

// of returns the newest list of issuer that is valid already, or nil.
func (ls revocationLists) of(issuer *x509.Certificate, now time.Time) *revocationList {
	for _, list := range ls {
		if !now.Before(list.ThisUpdate) && list.names(issuer) && list.isFrom(issuer) {
			return list
		}
	}
	return nil
}
