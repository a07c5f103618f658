package dtls

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// change returns a copy of p in which some bytes at an offset are others.
func change(p []byte, at int, to ...byte) []byte {
	p = slices.Clone(p)
	copy(p[at:], to)
	return p
}

func TestParseHello(t *testing.T) {
	good := someHello("alice", 3, 1, []byte("a cookie"))
	h, ok := parseHello(good)
	random := h.random()
	if !ok || h.sequence != 3 || h.messageSeq != 1 || string(h.cookie) != "a cookie" || string(random[:5]) != "alice" {
		t.Fatalf("parsed as %+v, %v", h, ok)
	}
	const body = recordHeader + messageHeader
	bare := good[:len(good)-14] // without extensions
	binary.BigEndian.PutUint16(bare[atLength:], uint16(len(bare)-recordHeader))
	bare[16], bare[24] = byte(len(bare)-body), byte(len(bare)-body)
	if _, ok := parseHello(bare); !ok {
		t.Error("a hello without extensions is refused")
	}
	good = aHello("alice")
	for name, p := range map[string][]byte{
		"empty":               nil,
		"another type":        change(good, 0, typeAlert),
		"TLS":                 change(good, 1, 3, 3),
		"encrypted":           change(good, atEpoch, 0, 1),
		"record too short":    change(good, atLength, 0, 10),
		"record too long":     change(good, atLength, 1, 0),
		"another message":     change(good, atMessage, 2),
		"a fragment":          change(good, atMessage+6, 0, 0, 1),
		"first fragment":      change(good, atMessage+1, 0, 4, 0),
		"fragment too long":   change(good, atMessage+9, 0, 4, 0),
		"long session id":     change(good, body+34, 33),
		"long cookie":         change(good, body+35, 255),
		"odd cipher suites":   change(good, body+36, 0, 3),
		"no cipher suites":    change(good, body+36, 0, 0),
		"no compression":      change(good, body+40, 0),
		"extensions too long": change(good, body+42, 1, 0),
		"extensions too few":  change(good, body+42, 0, 1),
		"followed by more":    append(slices.Clone(good), 0),
		"long":                append(slices.Clone(good), make([]byte, maxHello)...),
	} {
		if _, ok := parseHello(p); ok {
			t.Errorf("%s: taken for a hello", name)
		}
	}
	for n := range good {
		if _, ok := parseHello(good[:n]); ok {
			t.Errorf("the first %d of %d bytes are taken for a hello", n, len(good))
		}
	}
}

// TestCookies: a cookie is good for its client, its hello, and for as long as promised.
func TestCookies(t *testing.T) {
	c := newCookies()
	now := time.Unix(1_800_000_000, 0)
	at := tuple{server, netip.MustParseAddrPort("198.51.100.1:1000")}
	first, _ := parseHello(aHello("alice"))
	d := c.desk()
	cookie := d.cookie(at, &first, period(now))
	second := func(random string, cookie []byte) *hello {
		h, ok := parseHello(someHello(random, 1, 1, cookie))
		if !ok {
			t.Fatal("no hello")
		}
		return &h
	}
	good := second("alice", cookie[:])
	suites := second("alice", cookie[:])
	suites.end[3]++
	session := second("alice", cookie[:])
	session.begin = append(slices.Clone(session.begin[:len(session.begin)-1]), 1, 7)
	for _, c := range []struct {
		name string
		jar  *cookies
		at   tuple
		h    *hello
		now  time.Time
		want bool
	}{
		{"good", c, at, good, now, true},
		{"later", c, at, good, now.Add(cookieLife), true},
		{"too late", c, at, good, now.Add(2 * cookieLife), false},
		{"too early", c, at, good, now.Add(-cookieLife), false},
		{"another address", c, tuple{server, netip.MustParseAddrPort("198.51.100.2:1000")}, good, now, false},
		{"another port", c, tuple{server, netip.MustParseAddrPort("198.51.100.1:1001")}, good, now, false},
		{"another socket", c, tuple{at.remote, at.remote}, good, now, false},
		{"another random", c, at, second("bob", cookie[:]), now, false},
		{"other cipher suites", c, at, suites, now, false},
		{"another session", c, at, session, now, false},
		{"no cookie", c, at, second("alice", nil), now, false},
		{"a short one", c, at, second("alice", cookie[:cookieLen-1]), now, false},
		{"a long one", c, at, second("alice", append(cookie[:], 0)), now, false},
		{"a changed one", c, at, second("alice", change(cookie[:], 19, cookie[19]+1)), now, false},
		{"another listener", newCookies(), at, good, now, false},
	} {
		if got := c.jar.good(c.at, c.h, c.now); got != c.want {
			t.Errorf("%s: good = %v, want %v", c.name, got, c.want)
		}
	}
}
