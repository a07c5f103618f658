package certs

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// bundle is the CAs of a file that vouch for clients.
//
// Those that are self-signed are roots, and chains end there. One that another of the bundle issued is a help on the
// way: clients need not send it. One whose issuer is not in the bundle is a root here, as with openssl's
// -partial_chain: who wants to trust the second CA alone gives that alone.
type bundle struct {
	path    string
	all     []*x509.Certificate
	names   *x509.CertPool // of all
	roots   *x509.CertPool
	between *x509.CertPool
}

// readBundle reads a bundle and returns when the first of its CAs expires.
func readBundle(path string) (*bundle, time.Time, error) {
	all, err := readCertificates(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	b := &bundle{path: path, all: all, names: x509.NewCertPool(), roots: x509.NewCertPool(), between: x509.NewCertPool()}
	anchored := false
	for _, c := range all {
		if !c.IsCA {
			return nil, time.Time{}, fmt.Errorf("%s: %s is not a CA: give the certificate of the CA that issued it", path, nameOf(c))
		}
		b.names.AddCert(c)
		if b.issuedWithin(c) {
			b.between.AddCert(c)
		} else {
			b.roots.AddCert(c)
			anchored = true
		}
	}
	if !anchored {
		return nil, time.Time{}, fmt.Errorf("%s: each of its CAs was issued by another of them: add a root", path)
	}
	return b, firstEnd(all), nil
}

// issuedWithin reports whether another CA of the bundle issued c.
func (b *bundle) issuedWithin(c *x509.Certificate) bool {
	if isSelfSigned(c) {
		return false
	}
	return issuedByAny(b.all, c)
}

// issuedByAny reports whether one of cas, other than c itself, issued c.
func issuedByAny(cas []*x509.Certificate, c *x509.Certificate) bool {
	return slices.ContainsFunc(cas, func(ca *x509.Certificate) bool {
		return bytes.Equal(c.RawIssuer, ca.RawSubject) && !ca.Equal(c) && c.CheckSignatureFrom(ca) == nil
	})
}

// isSelfSigned goes by names and key ids: a root's own signature is never checked.
func isSelfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) &&
		(len(c.AuthorityKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId))
}

// maxSent is how many certificates a client may send: its own and the CAs on the way to the root.
const maxSent = 10

// verify returns the chains from sent[0], a client's certificate, to a root; the others of sent may be on the way.
func (b *bundle) verify(sent []*x509.Certificate, now time.Time) ([][]*x509.Certificate, error) {
	leaf := sent[0]
	if len(sent) > maxSent {
		return nil, fmt.Errorf("too many certificates: %d, at most %d are read", len(sent), maxSent)
	}
	if leaf.IsCA {
		return nil, errors.New("not for client authentication: it is a CA's")
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 { // RFC 8446, section 4.4.2.2
		return nil, errors.New("not for client authentication: its key usage has no digital signature")
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: b.roots, Intermediates: b.betweenWith(sent[1:]), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, b.explain(err, leaf, now)
	}
	return chains, nil
}

// betweenWith returns what may be between a client and a root: CAs of the bundle, and those of sent that lead to it.
// Verify would try the others in every order, which costs 100 signature checks for a handful of CAs of one name that sign
// each other, and whoever connects can send such. Here each of theirs is checked against a CA of the bundle, at most.
func (b *bundle) betweenWith(sent []*x509.Certificate) *x509.CertPool {
	pool, known := b.between.Clone(), b.all
	for found := true; found; {
		found = false
		sent = slices.DeleteFunc(slices.Clone(sent), func(c *x509.Certificate) bool {
			if !issuedByAny(known, c) {
				return false
			}
			pool.AddCert(c)
			known, found = append(known[:len(known):len(known)], c), true
			return true
		})
	}
	return pool
}

// explain turns an error of Verify into the reason of a refusal: a few fixed words, a colon, details.
func (b *bundle) explain(err error, leaf *x509.Certificate, now time.Time) error {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("wrong CA: issued by %q, and no valid chain leads from there to %s", short(leaf.Issuer.String()), b.path)
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return errors.New("not for client authentication: its extended key usage, or its CA's, has other uses")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && !invalid.Cert.Equal(leaf):
		ca := invalid.Cert
		return fmt.Errorf("CA not valid: %s is valid from %s to %s", nameOf(ca), stamp(ca.NotBefore), stamp(ca.NotAfter))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("not yet valid: begins on %s", stamp(leaf.NotBefore))
	case now.After(leaf.NotAfter):
		return fmt.Errorf("expired: on %s", stamp(leaf.NotAfter))
	}
	return fmt.Errorf("not valid: %s", short(err.Error()))
}

// firstEnd is when the first of certificates expires.
func firstEnd(certificates []*x509.Certificate) time.Time {
	end := certificates[0].NotAfter
	for _, c := range certificates[1:] {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}

// nameOf a certificate is its subject, or else its serial number; at most maxText bytes, from the certificate itself.
func nameOf(c *x509.Certificate) string {
	if subject := c.Subject.String(); subject != "" {
		return short(subject)
	}
	return short(fmt.Sprintf("serial %x", c.SerialNumber))
}

// maxText bounds what a certificate can write into a log.
const maxText = 256

func short(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "…"
	}
	return s
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
