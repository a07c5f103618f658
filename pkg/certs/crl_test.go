package certs

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// crlOf is a list of ca's intermediate in PEM, good for a day from begin.
func crlOf(t *testing.T, ca *CA, begin time.Time, number int64, revoked ...*x509.Certificate) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: begin, NextUpdate: begin.Add(day)}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: begin})
	}
	return signCRL(t, ca, list)
}

func signCRL(t *testing.T, ca *CA, list *x509.RevocationList) []byte {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.intermediate, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: typeCRL, Bytes: der})
}

// asRoot is a CA whose root issues, in place of its intermediate.
func (ca *CA) asRoot(t *testing.T) *CA {
	return &CA{root: ca.root, intermediate: ca.root, key: rootKey(t, ca), now: ca.now}
}

// namesake is another CA below ca's root, with the name of its intermediate; with keyID, with the same key id too.
func (ca *CA) namesake(t *testing.T, keyID bool) *CA {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	template := *ca.intermediate
	if !keyID {
		template.SubjectKeyId = nil // it gets its own
	}
	c, err := sign(&template, ca.root, &key.PublicKey, rootKey(t, ca))
	if err != nil {
		t.Fatal(err)
	}
	return &CA{root: ca.root, intermediate: c, key: key, now: ca.now}
}

func TestCRL(t *testing.T) {
	ca, other := newTestCA(t), newTestCA(t)
	now := time.Now()
	issued := mustIssue(t)(ca.Client("alice@example.com"))
	alice := pairOf(t, issued).Leaf
	bob := pairOf(t, mustIssue(t)(ca.Client("bob@example.com"))).Leaf
	root := ca.asRoot(t)
	valid, long, soon := now.Add(-time.Hour), now.Add(-2*day), now.Add(time.Hour)
	tests := []struct {
		name  string
		lists [][]byte
		want  string // empty: is let in
	}{
		{"nobody", [][]byte{crlOf(t, ca, valid, 1)}, ""},
		{"somebody else", [][]byte{crlOf(t, ca, valid, 1, bob)}, ""},
		{"revoked", [][]byte{crlOf(t, ca, valid, 1, bob, alice)}, "revoked: CN=alice@example.com, by "},
		{"expired", [][]byte{crlOf(t, ca, long, 1)}, "revocation list expired: "},
		{"expired, revoked", [][]byte{crlOf(t, ca, long, 1, alice)}, "revocation list expired: "},
		{"not yet valid", [][]byte{crlOf(t, ca, soon, 1)}, "no revocation list: of its issuer CN=sigctl development intermediate"},
		{"now and next", [][]byte{crlOf(t, ca, valid, 1), crlOf(t, ca, soon, 2)}, ""},
		{"old and new", [][]byte{crlOf(t, ca, long, 1), crlOf(t, ca, valid, 2)}, ""},
		{"new and old", [][]byte{crlOf(t, ca, valid, 2, alice), crlOf(t, ca, long, 1)}, "revoked: "},
		{"another CA's", [][]byte{crlOf(t, other, valid, 1)}, "no revocation list: "},
		{"the root's alone", [][]byte{crlOf(t, root, valid, 1)}, "no revocation list: "},
		{"both", [][]byte{crlOf(t, root, valid, 1), crlOf(t, ca, valid, 1)}, ""},
		{"the CA is revoked", [][]byte{crlOf(t, root, valid, 1, ca.intermediate), crlOf(t, ca, valid, 1)}, "revoked: CN=sigctl development intermediate"},
		{"the root's has expired", [][]byte{crlOf(t, root, long, 1), crlOf(t, ca, valid, 1)}, "revocation list expired: that of CN=sigctl development root"},
	}
	for _, tt := range tests {
		for name, bundle := range map[string][]byte{"root": ca.RootPEM(), "root and CA": ca.BundlePEM()} {
			dir := t.TempDir()
			clients, err := OpenClients(&ClientOptions{
				CA: write(t, dir, "clients.pem", bundle), CRL: write(t, dir, "crl.pem", bytes.Join(tt.lists, nil)),
			})
			if err != nil {
				t.Errorf("%s, bundle of %s: %v", tt.name, name, err)
				continue
			}
			for range 2 { // the second time, who signed is known
				_, err := clients.check(sentBy(t, issued, true))
				if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
					t.Errorf("%s, bundle of %s: got %v, want %q", tt.name, name, err, tt.want)
				}
			}
		}
	}
}

// A list that bears the name of a CA, but not its signature, does not count: it is a fault if the CA is known.
func TestCRLOfNamesake(t *testing.T) {
	ca := newTestCA(t)
	dir := t.TempDir()
	forged := write(t, dir, "crl.pem", crlOf(t, ca.namesake(t, true), time.Now().Add(-time.Hour), 1))
	bundle := write(t, dir, "clients.pem", ca.BundlePEM())
	if _, err := OpenClients(&ClientOptions{CA: bundle, CRL: forged}); err == nil || !strings.Contains(err.Error(), "does not have that CA's signature") {
		t.Errorf("open with a forged list: got %v", err)
	}
	o := &ClientOptions{CA: write(t, dir, "root.pem", ca.RootPEM()), CRL: forged}
	alice := mustIssue(t)(ca.Client("alice@example.com"))
	wantNoList := func(clients *Clients, issued Issued) {
		t.Helper()
		if _, err := clients.check(sentBy(t, issued, true)); err == nil || !strings.HasPrefix(err.Error(), "no revocation list: ") {
			t.Errorf("a client that sends its CA: got %v, want no revocation list", err)
		}
	}
	clients, err := OpenClients(o)
	if err != nil {
		t.Fatal(err)
	}
	wantNoList(clients, alice)

	// Nor does the CA's own list count for its namesake, once it has for itself.
	write(t, dir, "crl.pem", crlOf(t, ca, time.Now().Add(-time.Hour), 1))
	if clients, err = OpenClients(o); err != nil {
		t.Fatal(err)
	}
	if _, err := clients.check(sentBy(t, alice, true)); err != nil {
		t.Error(err)
	}
	wantNoList(clients, mustIssue(t)(ca.namesake(t, true).Client("alice@example.com")))
}

// A CA that has got a new key, under its old name, has a list for each.
func TestCRLsOfTwoKeys(t *testing.T) {
	ca, dir := newTestCA(t), t.TempDir()
	next, begin := ca.namesake(t, false), time.Now().Add(-time.Hour)
	alice := mustIssue(t)(ca.Client("alice@example.com"))
	bob := mustIssue(t)(next.Client("bob@example.com"))
	clients, err := OpenClients(&ClientOptions{
		CA:  write(t, dir, "clients.pem", encodeCertificates(ca.root, ca.intermediate, next.intermediate)),
		CRL: write(t, dir, "crl.pem", slices.Concat(crlOf(t, ca, begin, 1), crlOf(t, next, begin, 1, pairOf(t, bob).Leaf))),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clients.check(sentBy(t, alice, false)); err != nil {
		t.Errorf("alice: %v", err)
	}
	if _, err := clients.check(sentBy(t, bob, false)); err == nil || !strings.HasPrefix(err.Error(), "revoked: ") {
		t.Errorf("bob: got %v, want revoked", err)
	}
}

func TestCRLInDER(t *testing.T) {
	ca, dir := newTestCA(t), t.TempDir()
	issued := mustIssue(t)(ca.Client("alice@example.com"))
	block, _ := pem.Decode(crlOf(t, ca, time.Now().Add(-time.Hour), 1, pairOf(t, issued).Leaf))
	o := &ClientOptions{CA: write(t, dir, "clients.pem", ca.BundlePEM()), CRL: write(t, dir, "crl.der", block.Bytes)}
	clients, err := OpenClients(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clients.check(sentBy(t, issued, true)); err == nil || !strings.HasPrefix(err.Error(), "revoked: ") {
		t.Errorf("got %v, want revoked", err)
	}
	write(t, dir, "crl.der", append(block.Bytes, 0))
	if _, err := OpenClients(o); err == nil {
		t.Errorf("open a list with a byte too many: got no error")
	}
}

// Deltas and parts of a list say nothing of those that are not in them.
func TestPartialCRL(t *testing.T) {
	ca, dir, now := newTestCA(t), t.TempDir(), time.Now()
	delta := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}
	bundle := write(t, dir, "clients.pem", ca.BundlePEM())
	list := func() *x509.RevocationList {
		return &x509.RevocationList{Number: big.NewInt(2), ThisUpdate: now, NextUpdate: now.Add(day)}
	}
	whole, entry := list(), list()
	whole.ExtraExtensions = []pkix.Extension{delta}
	entry.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(1), RevocationTime: now, ExtraExtensions: []pkix.Extension{delta}}}
	for name, l := range map[string]*x509.RevocationList{"list": whole, "entry": entry} {
		path := write(t, dir, "crl.pem", signCRL(t, ca, l))
		if _, err := OpenClients(&ClientOptions{CA: bundle, CRL: path}); err == nil || !strings.Contains(err.Error(), "critical extension 2.5.29.27") {
			t.Errorf("%s with a critical extension: got %v", name, err)
		}
	}
}

// A broken list leaves the old one in force until that expires.
func TestCRLIsFollowed(t *testing.T) {
	g := newGate(t, func(g *gate, o *ClientOptions) {
		o.CRL = write(t, g.dir, "crl.pem", crlOf(t, g.ca, g.clock.now().Add(-time.Hour), 1))
	})
	alice := sentBy(t, mustIssue(t)(g.ca.Client("alice@example.com")), true)
	want := func(reason string) {
		t.Helper()
		g.clock.advance(time.Second)
		_, err := g.check(alice)
		if (err == nil) != (reason == "") || err != nil && !strings.HasPrefix(err.Error(), reason) {
			t.Errorf("got %v, want %q", err, reason)
		}
	}
	want("")
	good := crlOf(t, g.ca, g.clock.now().Add(-time.Hour), 2, alice[0])
	for _, broken := range [][]byte{nil, good[:len(good)/2], crlOf(t, g.ca.namesake(t, true), g.clock.now(), 3)} {
		write(t, g.dir, "crl.pem", broken)
		want("")
		want("")
	}
	if got := g.log.count("client CRL not replaced"); got != 3 {
		t.Errorf("three faults: got %d log lines:\n%s", got, g.log)
	}
	g.clock.advance(day)
	want("revocation list expired: ")
	want("revocation list expired: ")
	if got := g.log.count("client CRL has expired"); got != 1 {
		t.Errorf("expiry: got %d log lines, want 1:\n%s", got, g.log)
	}
	write(t, g.dir, "crl.pem", crlOf(t, g.ca, g.clock.now().Add(-time.Hour), 4))
	want("")
	write(t, g.dir, "crl.pem", crlOf(t, g.ca, g.clock.now().Add(-time.Hour), 5, alice[0]))
	want("revoked: ")
}

// A list that does not say when the next one comes holds until there is one.
func TestCRLWithoutEnd(t *testing.T) {
	ca, now := newTestCA(t), time.Now()
	b, _, err := readBundle(write(t, t.TempDir(), "clients.pem", ca.BundlePEM()))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(crlOf(t, ca, now, 1))
	list, err := parseRevocationList(block.Bytes, b)
	if err != nil {
		t.Fatal(err)
	}
	list.NextUpdate = time.Time{}
	chain := []*x509.Certificate{pairOf(t, mustIssue(t)(ca.Client("alice"))).Leaf, ca.intermediate, ca.root}
	if err := (revocationLists{list}).check(chain, now.Add(1000*day)); err != nil {
		t.Errorf("got %v, want it to hold", err)
	}
}

func TestRevoke(t *testing.T) {
	ca, c := newTestCA(t), newClock()
	ca.now = c.now
	first, err := ca.CRL(false)
	if err != nil || first.Number.Int64() != 1 || len(first.RevokedCertificateEntries) != 0 {
		t.Fatalf("first list: got %+v, %v", first, err)
	}
	wantMode(t, ca.CRLPath(), 0o600)
	want := func(list *x509.RevocationList, err error) func(number int64, revoked int) {
		t.Helper()
		return func(number int64, revoked int) {
			t.Helper()
			if err != nil || list.Number.Int64() != number || len(list.RevokedCertificateEntries) != revoked {
				t.Errorf("got %+v, %v, want number %d with %d revoked", list, err, number, revoked)
			} else if left := list.NextUpdate.Sub(c.now()); left < crlLifetime/2 || left > crlLifetime {
				t.Errorf("list is good for %v", left)
			}
		}
	}
	file := func(issued Issued) string {
		return write(t, t.TempDir(), "c.pem", slices.Concat(issued.Chain, issued.Key))
	}
	alice := file(mustIssue(t)(ca.Client("alice")))
	want(ca.CRL(false))(1, 0)
	want(ca.Revoke(alice, alice))(2, 1)
	want(ca.Revoke(alice))(3, 1)
	c.advance(14 * day)
	want(ca.CRL(false))(3, 1)
	want(ca.CRL(true))(4, 1)
	c.advance(16 * day)
	want(ca.CRL(false))(5, 1)

	stranger := file(mustIssue(t)(newTestCA(t).Client("alice")))
	bob := file(mustIssue(t)(ca.Client("bob")))
	for _, bad := range []string{stranger, write(t, t.TempDir(), "ca.pem", ca.BundlePEM()), filepath.Join(t.TempDir(), "missing.pem")} {
		if _, err := ca.Revoke(bob, bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("revoke %s: got %v, want an error that names it", bad, err)
		}
	}
	want(ca.CRL(false))(5, 1)

	write(t, ca.path, crlFile, []byte("broken"))
	if _, err := ca.Revoke(bob); err == nil || !strings.Contains(err.Error(), ca.CRLPath()) {
		t.Errorf("revoke with a broken list: got %v: those on it would be pardoned", err)
	}
}

// Of several that revoke at once none loses what another revoked.
func TestRevokeConcurrently(t *testing.T) {
	dir := t.TempDir()
	ca, err := OpenCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	const n = 8
	var wg sync.WaitGroup
	for range n {
		file := write(t, t.TempDir(), "c.pem", mustIssue(t)(ca.Client("alice")).Chain)
		wg.Go(func() {
			own, err := OpenCA(dir)
			if err == nil {
				_, err = own.Revoke(file)
			}
			if err != nil {
				t.Errorf("revoke: %v", err)
			}
		})
	}
	wg.Wait()
	list, err := ca.CRL(false)
	if err != nil || len(list.RevokedCertificateEntries) != n || list.Number.Int64() != n {
		t.Errorf("got %+v, %v, want number %d with %d revoked", list, err, n, n)
	}
}
