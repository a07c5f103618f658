package listen

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// mutate changes text in a few places, takes some of it away or puts some in.
func mutate(r *rand.Rand, text string) string {
	b := []byte(text)
	for range 1 + r.IntN(4) {
		i := r.IntN(len(b) + 1)
		switch r.IntN(3) {
		case 0:
			b = append(b[:i:i], append([]byte{byte(r.Uint32())}, b[i:]...)...)
		case 1:
			b = append(b[:i:i], b[min(len(b), i+1+r.IntN(8)):]...)
		case 2:
			if i < len(b) {
				b[i] ^= 1 << r.IntN(8)
			}
		}
	}
	return string(b)
}

// seeds is 300 texts: samples, and what mutate makes of them, the same in each run.
func seeds(samples []string) []string {
	r := rand.New(rand.NewPCG(1, 2))
	all := samples
	for len(all) < 300 {
		all = append(all, mutate(r, samples[r.IntN(len(samples))]))
	}
	return all
}

// stream is a connection that bears data, step bytes a Read.
type stream struct {
	pieces
	data []byte
	step int
	read int // bytes
}

func (s *stream) Read(b []byte) (int, error) {
	if s.read == len(s.data) {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), s.step)], s.data[s.read:])
	s.read += n
	return n, nil
}

func FuzzReadPROXY(f *testing.F) {
	for i, seed := range seeds([]string{
		"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\nhello",
		"PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 4711 443\r\n",
		"PROXY UNKNOWN 1 2 3\r\n",
		v2(proxy, tcp4, from4+tlv(5)) + "hello",
		v2(proxy, tcp6, from6),
		v2(local, 0, ""),
		v2(proxy, 0x31, strings.Repeat("\x00", 216)),
		v2(proxy, tcp4, from4+tlv(maxV2)),
		"\x16\x03\x01\x02\x00\x01\x00",
		"GET / HTTP/1.1\r\n\r\n",
	}) {
		f.Add([]byte(seed), uint16(i))
	}
	f.Fuzz(func(t *testing.T, data []byte, step uint16) {
		nc := &stream{data: data, step: 1 + int(step)}
		client, rest, err := ReadPROXY(nc)
		if most := v2Fixed + maxV2 + firstRead; nc.read > most {
			t.Fatalf("%d bytes were read, want at most %d", nc.read, most)
		}
		whole, wholeRest, wholeErr := ReadPROXY(&stream{data: data, step: len(data) + 1})
		if whole != client || (wholeErr == nil) != (err == nil) {
			t.Fatalf("in pieces %v, %v; at once %v, %v", client, err, whole, wholeErr)
		}
		if err != nil {
			if client.IsValid() || rest != nil {
				t.Fatalf("%v and %q with the error %v", client, rest, err)
			}
			return
		}
		length := nc.read - len(rest)
		if !bytes.HasSuffix(data[:nc.read], rest) || !bytes.HasPrefix(data[length:], wholeRest) {
			t.Fatalf("the rest is %q, at once %q, of %q", rest, wholeRest, data)
		}
		wantHeader(t, data[:length], client)
	})
}

// wantHeader checks what ReadPROXY took for a header against the specification's outline.
func wantHeader(t *testing.T, header []byte, client netip.AddrPort) {
	line, isLine := bytes.CutSuffix(header, []byte("\r\n"))
	switch fields := strings.Split(string(line), " "); {
	case isLine && fields[0] == "PROXY" && fields[1] == "UNKNOWN":
		if client.IsValid() {
			t.Fatalf("%q: got %v, want none", header, client)
		}
	case isLine && fields[0] == "PROXY" && len(fields) == 6:
		want := netip.AddrPortFrom(plain(netip.MustParseAddr(fields[2])), client.Port())
		if client != want || len(header) > maxV1 {
			t.Fatalf("%q: got %v, want %v", header, client, want)
		}
	case len(header) >= v2Fixed && int(binary.BigEndian.Uint16(header[14:])) == len(header)-v2Fixed:
		if client.IsValid() != (header[12] == proxy) {
			t.Fatalf("%q: got %v", header, client)
		}
	default:
		t.Fatalf("%q is no header, got %v", header, client)
	}
}

func FuzzClient(f *testing.F) {
	for i, seed := range seeds([]string{
		"192.0.2.1",
		"6.6.6.6, 192.0.2.1, 10.0.0.2",
		"[2001:db8::1]:4711, ::ffff:10.0.0.2",
		"fe80::1%eth0, 10.0.0.2:80",
		"unknown\n10.0.0.2",
		`for="[2001:db8::1]";proto=https`,
		strings.Repeat("10.0.0.2,", 40),
		strings.Repeat("10.0.0.2\n", 40),
		"",
	}) {
		f.Add(seed, uint32(i)*0x01010101)
	}
	f.Fuzz(func(t *testing.T, lines string, from uint32) {
		p := newProxies(t, "10.0.0.0/8 2001:db8::/32", "")
		h := http.Header{"X-Forwarded-For": strings.Split(lines, "\n"), "Forwarded": {"for=6.6.6.6"}, "X-Real-Ip": {"6.6.6.6"}}
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], from)
		if peer := netip.AddrFrom4(b); !p.Trusts(peer) {
			if got := p.Client(peer, h); got != peer {
				t.Fatalf("%q from %v, no proxy: got %v", lines, peer, got)
			}
		}
		proxy := addr("10.0.0.1")
		got := p.Client(proxy, h)
		if got != plain(got) || !got.IsValid() {
			t.Fatalf("%q: got %v, want a plain address", lines, got)
		}
		if got != proxy && !mentions(lines, got) {
			t.Fatalf("%q: got %v, which is not in it", lines, got)
		}
		// Whatever a client writes in front, what the proxies added counts.
		for _, forged := range []string{lines + ",192.0.2.1, 10.0.0.3", lines + "\n192.0.2.1,10.0.0.3"} {
			h["X-Forwarded-For"] = strings.Split(forged, "\n")
			if got := p.Client(proxy, h); got != addr("192.0.2.1") {
				t.Fatalf("%q: got %v, want 192.0.2.1", forged, got)
			}
		}
	})
}

// mentions reports whether one element of the lists is addr.
func mentions(lines string, want netip.Addr) bool {
	for element := range strings.FieldsFuncSeq(lines, func(r rune) bool { return r == ',' || r == '\n' }) {
		if addr, ok := parseHop(element); ok && addr == want {
			return true
		}
	}
	return false
}
