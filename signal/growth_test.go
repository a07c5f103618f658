package signal

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/sigctl/sigctl/pkg/listen"
)

// mutations are so many texts that differ from a good one in some places.
func mutations(good string, n int) []string {
	const alphabet = "abcXYZ019-_.,:;=+/% \t\"'{}[]()<>\\\x01\x7fé"
	r := rand.New(rand.NewPCG(1, 2)) // the same ones every time
	list := make([]string, n)
	for i := range list {
		b := []byte(good)
		for range 1 + r.IntN(8) {
			at := r.IntN(len(b) + 1)
			switch r.IntN(4) {
			case 0:
				b = append(b[:at:at], b[min(at+1+r.IntN(20), len(b)):]...)
			case 1:
				b = append(b[:at:at], append([]byte(strings.Repeat(alphabet[r.IntN(len(alphabet)):], 1+r.IntN(3))), b[at:]...)...)
			case 2:
				b[min(at, len(b)-1)] = alphabet[r.IntN(len(alphabet))]
			default:
				b = append(b, b[:r.IntN(len(b)+1)]...)
			}
			if len(b) == 0 {
				b = []byte{'.'}
			}
		}
		list[i] = string(b)
	}
	return list
}

// wantNothingLeft checks that strangers have left nothing behind.
func (ts *testServer) wantNothingLeft(what string, goroutines int) {
	ts.t.Helper()
	for ts.Stats().Pending+ts.Stats().Connections > 0 {
		runtime.Gosched() // connections end by themselves
	}
	if n := runtime.NumGoroutine(); n > goroutines+20 {
		ts.t.Errorf("after %s there are %d goroutines, before %d", what, n, goroutines)
	}
	if len(ts.List()) != 0 || len(ts.Rooms()) != 0 {
		ts.t.Errorf("after %s there are sessions %+v and rooms %+v", what, ts.List(), ts.Rooms())
	}
}

func TestBadTokensLeaveNothing(t *testing.T) {
	as := newAccessServer(t)
	good := as.roomToken("user1", "team")
	before, goroutines := as.state(), runtime.NumGoroutine()
	for i, text := range mutations(good, 256) {
		if text == good {
			continue
		}
		c := as.connect(fmt.Sprint("bad token ", i))
		c.send(fmt.Sprintf(`{"type":"login","token":%q}`, strings.Map(printableASCII, text)))
		if got, err := c.read(); err != nil || got["success"] == true {
			t.Errorf("token %d, %q: %v, %v", i, text, got, err)
		}
		c.ws.Close()
	}
	as.wantNothingLeft("bad tokens", goroutines)
	if after := as.state(); !after.equal(before) {
		t.Errorf("after bad tokens there is %+v, before %+v", after, before)
	}
	as.loginWith(good).want(`{"success":true}`) // none of them was that one
}

func printableASCII(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}

func TestBadProxyWordsLeaveNothing(t *testing.T) {
	for _, proxy := range []bool{false, true} {
		p, err := listen.NewProxies(&listen.ProxyOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, PROXY: proxy})
		if err != nil {
			t.Fatal(err)
		}
		ts := newTestServer(t, &Config{Proxies: p})
		dial, goroutines := ts.dial, runtime.NumGoroutine()
		good := "203.0.113.9, 192.0.2.7, [2001:db8::1]:443"
		if proxy {
			good = "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n"
		}
		for _, text := range mutations(good, 256) {
			header := http.Header{}
			if proxy {
				ts.dial = prefixed(dial, text)
			} else {
				header["X-Forwarded-For"] = []string{strings.Map(printableASCII, text)}
			}
			c, err := ts.tryConnect("a", header)
			if err != nil {
				continue
			}
			c.want(`{"type":"hello"}`)
			c.send(`{"type":"login","name":"user1","password":"guess"}`)
			c.want(`{"type":"login","success":false}`)
			c.ws.Close()
		}
		ts.wantNothingLeft("bad proxies' words", goroutines)
	}
}
