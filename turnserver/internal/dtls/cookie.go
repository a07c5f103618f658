package dtls

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"time"
)

const (
	// cookieLen is that of pion/dtls's own cookies, which ours take the place of.
	cookieLen = 20

	// cookieLife is how long a cookie is good at least, and half of how long at most. It covers a client's hello that is
	// sent again four times, and is short for one who collects cookies at addresses that will soon be others'.
	cookieLife = 30 * time.Second
)

// cookies makes and checks cookies. Nothing is kept of them.
type cookies struct {
	spare sync.Pool // of *desk
}

// desk is where a cookie is made and an answer written, so that neither takes memory from the heap.
type desk struct {
	mac    hash.Hash
	head   [8 + 2*18]byte
	sum    [sha256.Size]byte
	answer [verifyRequestLen]byte
}

func newCookies() *cookies {
	var key [sha256.Size]byte
	rand.Read(key[:]) // never fails: crypto/rand ends the program instead
	return &cookies{spare: sync.Pool{New: func() any { return &desk{mac: hmac.New(sha256.New, key[:])} }}}
}

func (c *cookies) desk() *desk { return c.spare.Get().(*desk) }

func (c *cookies) giveBack(d *desk) { c.spare.Put(d) }

func period(now time.Time) uint64 { return uint64(now.UnixNano() / int64(cookieLife)) }

// cookie is what a client proves with that it receives where its hellos come from: good for this tuple, this hello, this
// period (RFC 6347, section 4.2.1).
func (d *desk) cookie(t tuple, h *hello, period uint64) [cookieLen]byte {
	local, remote := t.local.Addr().As16(), t.remote.Addr().As16()
	b := binary.BigEndian.AppendUint64(d.head[:0], period)
	b = binary.BigEndian.AppendUint16(append(b, local[:]...), t.local.Port())
	b = binary.BigEndian.AppendUint16(append(b, remote[:]...), t.remote.Port())
	d.mac.Reset()
	d.mac.Write(b)
	d.mac.Write(h.begin)
	d.mac.Write(h.end)
	return [cookieLen]byte(d.mac.Sum(d.sum[:0]))
}

// good reports whether h brings a cookie of this period or of the one before.
func (c *cookies) good(t tuple, h *hello, now time.Time) bool {
	if len(h.cookie) != cookieLen {
		return false
	}
	d := c.desk()
	defer c.giveBack(d)
	for _, p := range [...]uint64{period(now), period(now) - 1} {
		if want := d.cookie(t, h, p); hmac.Equal(h.cookie, want[:]) {
			return true
		}
	}
	return false
}
