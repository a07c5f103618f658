package dtls

import (
	"slices"
	"testing"
	"testing/synctest"
)

// FuzzReceive: a first packet does not harm, and is answered with less than it is or not at all; a known one neither.
func FuzzReceive(f *testing.F) {
	f.Add(aHello("alice"))
	f.Add(someHello("alice", 1, 1, make([]byte, cookieLen)))
	f.Add(record(typeAlert, 0, 1, 0))
	f.Add(record(typeApplicationData, 2, make([]byte, 40)...))
	f.Add(append(record(typeHandshake, 0, make([]byte, 20)...), record(typeApplicationData, 1, make([]byte, 40)...)...))
	certificate := newCertificate(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		tl := newTestListener(t, &Config{Certificate: fixed(certificate)})
		tl.from("198.51.100.1:1000", p)
		if packets, bytes := tl.sent(); packets > 1 || packets == 1 && bytes >= len(p) {
			t.Errorf("%d packets, %d bytes, answer %d bytes", packets, bytes, len(p))
		}
		tl.wantNothing()
		if h, ok := parseHello(p); ok {
			reassembled := slices.Concat(h.begin, []byte{byte(len(h.cookie))}, h.cookie, h.end)
			if at := recordHeader + messageHeader; !slices.Equal(p[at:at+len(reassembled)], reassembled) {
				t.Errorf("parsed as %x, which is not what was sent: %x", reassembled, p)
			}
		}
		s := newSession(t.Context(), tl, tuple{}, &hello{begin: make([]byte, 2+randomLen), sequence: 1}, aHello(""))
		s.filter(slices.Clone(p))
		s.established.Store(true)
		for record, rest := cutRecord(s.filter(slices.Clone(p))); record != nil; record, rest = cutRecord(rest) {
			if epochOf(record) != 1 {
				t.Errorf("a record of epoch %d passed", epochOf(record))
			}
		}
	})
}

// FuzzHandshake: nothing that a client sends once it has proved its address harms the library, or stays.
func FuzzHandshake(f *testing.F) {
	clientKeyExchange := append([]byte{16, 0, 0, 33, 0, 2, 0, 0, 0, 0, 0, 33, 32, 9}, make([]byte, 31)...)
	f.Add(extensions, record(typeHandshake, 0, clientKeyExchange...))
	f.Add(extensions, append(record(typeHandshake, 0, clientKeyExchange...), append(record(typeChangeCipherSpec, 0, 1),
		record(typeHandshake, 1, make([]byte, 40)...)...)...))
	f.Add(slices.Concat(extensions, []byte{0, 13, 0, 4, 0, 2, 4, 3}, []byte{0, 14, 0, 5, 0, 2, 0, 1, 0}), record(typeAlert, 0, 2, 40))
	f.Add(slices.Concat(extensions, []byte{0, 0, 0, 6, 0, 4, 0, 0, 1, 'a'}, []byte{0, 54, 0, 1, 0}), record(typeApplicationData, 0, 1))
	f.Add(slices.Concat(extensions, []byte{0, 16, 0, 5, 0, 3, 2, 'h', '2'}, []byte{0xff, 1, 0, 1, 0}), []byte{})
	certificate := newCertificate(f)
	f.Fuzz(func(t *testing.T, extensions, p []byte) {
		if len(extensions) > maxHello/2 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			const address = "198.51.100.1:1000"
			tl := newTestListener(t, &Config{Certificate: fixed(certificate)})
			tl.from(address, tl.provenWith(extensions, address, "alice"))
			synctest.Wait()
			tl.from(address, p)
			synctest.Wait()
			if s := tl.Stats(); s.Sessions != 0 || s.Refused[BadCookie]+s.Refused[Malformed] > 1 {
				t.Errorf("%+v, want a handshake without success", s)
			}
			tl.Close()
			tl.wantNothing()
		})
	})
}
