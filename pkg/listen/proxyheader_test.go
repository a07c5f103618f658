package listen

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// v2 makes a header of version 2 from its fields (section 2.2 of the specification).
func v2(command, transport byte, payload string) string {
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{command, transport, byte(len(payload) >> 8), byte(len(payload))}) + payload
}

// Fields of version 2, and payloads: source, destination, ports.
const (
	local, proxy = 0x20, 0x21
	tcp4, tcp6   = 0x11, 0x21

	from4 = "\xc0\x00\x02\x01" + "\x0a\x00\x00\x01" + "\x12\x67" + "\x01\xbb"
	from6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x12\x67" + "\x01\xbb"
	fromMapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0a\x00\x00\x01" + "\x12\x67" + "\x01\xbb"
)

// tlv is one of a type for experiments.
func tlv(n int) string {
	return "\xe0" + string([]byte{byte(n >> 8), byte(n)}) + strings.Repeat("x", n)
}

// pieces is a connection from which each Read takes at most one piece; then it ends.
type pieces struct {
	net.Conn  // nil: nothing else is called
	left      []string
	deadlines []time.Time
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	if p.left[0] = p.left[0][n:]; p.left[0] == "" {
		p.left = p.left[1:]
	}
	return n, nil
}

func (p *pieces) SetReadDeadline(at time.Time) error {
	p.deadlines = append(p.deadlines, at)
	return nil
}

func TestReadPROXY(t *testing.T) {
	const zero = "invalid AddrPort"
	for _, tt := range []struct{ name, header, want string }{
		{"v1, IPv4", "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n", "192.0.2.1:4711"},
		{"v1, IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n", "[2001:db8::1]:4711"},
		{"v1, IPv4-mapped", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:10.0.0.1 4711 443\r\n", "192.0.2.1:4711"},
		{"v1, longest", "PROXY TCP6 " + strings.Repeat("ffff:", 7) + "ffff " + strings.Repeat("ffff:", 7) + "ffff 65535 65535\r\n",
			"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
		{"v1, unknown", "PROXY UNKNOWN\r\n", zero},
		{"v1, unknown with addresses", "PROXY UNKNOWN 6.6.6.6 6.6.6.7 1 2\r\n", zero},
		{"v1, unknown, longest", "PROXY UNKNOWN " + strings.Repeat("x", maxV1-16) + "\r\n", zero},
		{"v2, IPv4", v2(proxy, tcp4, from4), "192.0.2.1:4711"},
		{"v2, IPv6", v2(proxy, tcp6, from6), "[2001:db8::1]:4711"},
		{"v2, IPv4-mapped", v2(proxy, tcp6, fromMapped), "192.0.2.1:4711"},
		{"v2, TLVs", v2(proxy, tcp4, from4+tlv(3)+tlv(0)), "192.0.2.1:4711"},
		{"v2, longest", v2(proxy, tcp4, from4+tlv(maxV2-len(from4)-3)), "192.0.2.1:4711"},
		{"v2, torn TLVs", v2(proxy, tcp4, from4+"\xe0\xff\xff"), "192.0.2.1:4711"},
		{"v2, local", v2(local, 0, ""), zero},
		{"v2, local with addresses", v2(local, tcp4, from4), zero},
		{"v2, local with half an address", v2(local, tcp6, from4), zero},
	} {
		for _, rest := range []string{"", "\x16\x03\x01hello", "PROXY TCP4 6.6.6.6 10.0.0.1 1 2\r\n", strings.Repeat("x", 2*firstRead)} {
			for how, nc := range map[string]*pieces{
				"at once":      {left: []string{tt.header + rest}},
				"rest later":   {left: []string{tt.header, rest}},
				"byte by byte": {left: strings.Split(tt.header+rest, "")},
			} {
				if rest == "" && how == "rest later" {
					continue
				}
				client, read, err := ReadPROXY(nc)
				if err != nil || client.String() != tt.want {
					t.Errorf("%s, %s: got %v, %v, want %s", tt.name, how, client, err, tt.want)
				}
				if got := string(read) + strings.Join(nc.left, ""); got != rest {
					t.Errorf("%s, %s: left to read are %d bytes %.20q, want %d %.20q", tt.name, how, len(got), got, len(rest), rest)
				}
				if n := len(nc.deadlines); n != 2 || nc.deadlines[0].IsZero() || !nc.deadlines[1].IsZero() {
					t.Errorf("%s, %s: deadlines %v, want one, then none", tt.name, how, nc.deadlines)
				}
			}
		}
	}
}

func TestReadPROXYRefuses(t *testing.T) {
	const missing = "does not begin with a PROXY header"
	for _, tt := range []struct{ name, bytes, want string }{
		{"TLS", "\x16\x03\x01", missing},
		{"HTTP", "GET / HTTP/1.1\r\n", missing},
		{"another word", "PROPFIND / HTTP/1.1\r\n", missing},
		{"signature and more", "PROXYTCP4 192.0.2.1 10.0.0.1 4711 443\r\n", missing},
		{"lower case", "proxy TCP4 192.0.2.1 10.0.0.1 4711 443\r\n", missing},
		{"v2 signature with a fault", "\r\n\r\n\x00\r\nQUIX", missing},
		{"space before", " PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n", missing},

		{"v1, no family", "PROXY \r\n", "address family"},
		{"v1, UDP", "PROXY UDP4 192.0.2.1 10.0.0.1 4711 443\r\n", "address family"},
		{"v1, two spaces", "PROXY TCP4  192.0.2.1 10.0.0.1 4711 443\r\n", "address family"},
		{"v1, something behind", "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443 1\r\n", "address family"},
		{"v1, wrong family", "PROXY TCP4 2001:db8::1 2001:db8::2 4711 443\r\n", "invalid address"},
		{"v1, IPv4 as TCP6", "PROXY TCP6 192.0.2.1 10.0.0.1 4711 443\r\n", "invalid address"},
		{"v1, a zone", "PROXY TCP6 fe80::1%eth0 fe80::2 4711 443\r\n", "invalid address"},
		{"v1, a name", "PROXY TCP4 localhost 10.0.0.1 4711 443\r\n", "invalid address"},
		{"v1, leading zero", "PROXY TCP4 192.0.2.1 10.0.0.1 04711 443\r\n", "invalid port"},
		{"v1, port too great", "PROXY TCP4 192.0.2.1 10.0.0.1 65536 443\r\n", "invalid port"},
		{"v1, line feed alone", "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\n", `end with \r\n`},
		{"v1, no end", "PROXY UNKNOWN " + strings.Repeat("x", maxV1), "no line end in the first 107"},
		{"v1, end too late", "PROXY UNKNOWN " + strings.Repeat("x", maxV1-15) + "\r\n", "no line end in the first 107"},

		{"v2, version 1", v2(0x11, tcp4, from4), "unsupported"},
		{"v2, command 2", v2(0x22, tcp4, from4), "unsupported"},
		{"v2, unknown family", v2(proxy, 0x41, from4), "unsupported"},
		{"v2, unknown transport", v2(proxy, 0x13, from4), "unsupported"},
		{"v2, unspecified", v2(proxy, 0, ""), "unsupported"},
		{"v2, UDP", v2(proxy, 0x12, from4), "not TCP"},
		{"v2, Unix", v2(proxy, 0x31, strings.Repeat("\x00", 216)), "not TCP"},
		{"v2, half an address", v2(proxy, tcp6, from4), "invalid length"},
		{"v2, too long", v2(proxy, tcp4, from4+tlv(maxV2-len(from4)-2)), "at most 4096"},
		{"v2, local, too long", v2(local, 0, tlv(maxV2)), "at most 4096"},
	} {
		for how, left := range map[string][]string{"at once": {tt.bytes}, "byte by byte": strings.Split(tt.bytes, "")} {
			client, rest, err := ReadPROXY(&pieces{left: left})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s, %s: got error %v, want %q in it", tt.name, how, err, tt.want)
			}
			if client != (netip.AddrPort{}) || rest != nil {
				t.Errorf("%s, %s: got %v and %q with the error", tt.name, how, client, rest)
			}
		}
	}
}

func TestReadPROXYEnds(t *testing.T) {
	for _, tt := range []struct {
		bytes string
		want  error
	}{
		{"", io.EOF},
		{"PROX", io.ErrUnexpectedEOF},
		{"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r", io.ErrUnexpectedEOF},
		{v2(proxy, tcp4, from4)[:15], io.ErrUnexpectedEOF},
		{v2(proxy, tcp4, from4)[:27], io.ErrUnexpectedEOF},
	} {
		if _, _, err := ReadPROXY(&pieces{left: []string{tt.bytes}}); !errors.Is(err, tt.want) {
			t.Errorf("%q: got %v, want %v", tt.bytes, err, tt.want)
		}
	}
}

// The time is for the whole header, not for each of its bytes, and what comes after it has all the time of the world.
func TestReadPROXYTime(t *testing.T) {
	const header = "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n"
	for _, tt := range []struct {
		name  string
		pause time.Duration // before each byte
		bytes string
		late  bool
	}{
		{"silent", time.Hour, "P", true},
		{"a byte each second", time.Second, header, true},
		{"just in time", proxyTimeout/time.Duration(len(header)) - 1, header, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				proxy, ours := net.Pipe()
				gone := make(chan struct{})
				defer func() { ours.Close(); <-gone }()
				go func() {
					defer close(gone)
					defer proxy.Close()
					for _, b := range []byte(tt.bytes) {
						time.Sleep(tt.pause) // the bubble's clock
						if _, err := proxy.Write([]byte{b}); err != nil {
							return
						}
					}
					time.Sleep(time.Hour)
					proxy.Write([]byte("hello"))
				}()
				began := time.Now()
				_, _, err := ReadPROXY(ours)
				if tt.late {
					if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took != proxyTimeout {
						t.Errorf("got %v after %v, want %v after %v", err, took, os.ErrDeadlineExceeded, proxyTimeout)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(ours); string(got) != "hello" || err != nil {
					t.Errorf("an hour later: got %q, %v, want hello", got, err)
				}
			})
		})
	}
}

func TestReadPROXYClosed(t *testing.T) {
	_, ours := net.Pipe()
	ours.Close()
	if _, _, err := ReadPROXY(ours); err == nil {
		t.Error("a closed connection: no error")
	}
}
