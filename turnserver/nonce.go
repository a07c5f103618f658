package turnserver

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"sync"
	"time"
)

const (
	nonceStamp = 4  // bytes: Unix seconds of the issue
	nonceMAC   = 10 // bytes of the HMAC that are told, RFC 2104 section 5
	nonceSize  = 2 * (nonceStamp + nonceMAC)
)

// nonces are made for one client each, and recognised without being kept. In hex: a nonce that begins with "obMatJos2"
// would promise more than RFC 5389 has (RFC 8489 section 9.2).
type nonces struct {
	// set at construction
	lifetime time.Duration
	now      func() time.Time
	macs     sync.Pool // of *nonceMaker
}

// nonceMaker is what making one takes.
type nonceMaker struct {
	mac    hash.Hash
	client [nonceStamp + 1 + 2 + 16]byte
	sum    [sha256.Size]byte
}

// newNonces returns a source of nonces that no other one recognises.
func newNonces(lifetime time.Duration, now func() time.Time) *nonces {
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails
	return &nonces{lifetime: lifetime, now: now, macs: sync.Pool{New: func() any { return &nonceMaker{mac: hmac.New(sha256.New, key)} }}}
}

// issue returns a nonce for a client, from its address and port and over its transport alone.
func (n *nonces) issue(to fiveTuple) string {
	var nonce [nonceStamp + nonceMAC]byte
	binary.BigEndian.PutUint32(nonce[:], uint32(n.now().Unix()))
	n.sign(&nonce, to)
	return hex.EncodeToString(nonce[:])
}

// isGood reports whether the client was issued that nonce, and lately.
func (n *nonces) isGood(nonce []byte, from fiveTuple) bool {
	var got [nonceStamp + nonceMAC]byte
	if len(nonce) != nonceSize {
		return false
	}
	if _, err := hex.Decode(got[:], nonce); err != nil {
		return false
	}
	want := got
	n.sign(&want, from)
	age := n.now().Unix() - int64(binary.BigEndian.Uint32(got[:]))
	return hmac.Equal(got[:], want[:]) && age >= 0 && time.Duration(age)*time.Second < n.lifetime
}

// sign fills in the HMAC of the stamp and the client.
func (n *nonces) sign(nonce *[nonceStamp + nonceMAC]byte, client fiveTuple) {
	maker := n.macs.Get().(*nonceMaker)
	defer n.macs.Put(maker)
	ip := client.client.Addr().As16()
	b := append(maker.client[:0], nonce[:nonceStamp]...)
	b = append(b, byte(client.transport))
	b = binary.BigEndian.AppendUint16(b, client.client.Port())
	b = append(b, ip[:]...)
	maker.mac.Reset()
	maker.mac.Write(b)
	copy(nonce[nonceStamp:], maker.mac.Sum(maker.sum[:0]))
}
