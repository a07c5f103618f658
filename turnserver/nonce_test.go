package turnserver

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestNonces(t *testing.T) {
	c := &clock{t: time.Unix(1_700_000_000, 0)}
	nonces, others := newNonces(time.Minute, c.now), newNonces(time.Minute, c.now)
	at := func(text string, transport Transport) fiveTuple {
		return fiveTuple{client: netip.MustParseAddrPort(text), transport: transport}
	}
	alice := at("192.0.2.1:1000", UDP)
	nonce := nonces.issue(alice)
	if len(nonce) != nonceSize || strings.HasPrefix(nonce, "obMatJos2") {
		t.Errorf("got the nonce %q", nonce)
	}
	for _, tt := range []struct {
		name  string
		nonce string
		from  fiveTuple
		want  bool
	}{
		{"its own", nonce, alice, true},
		{"another port", nonce, at("192.0.2.1:1001", UDP), false},
		{"another address", nonce, at("192.0.2.2:1000", UDP), false},
		{"another transport", nonce, at("192.0.2.1:1000", TCP), false},
		{"another server's", others.issue(alice), alice, false},
		{"too short", nonce[:len(nonce)-2], alice, false},
		{"too long", nonce + "00", alice, false},
		{"empty", "", alice, false},
		{"no hex", strings.Repeat("x", nonceSize), alice, false},
		{"a later stamp", "ff" + nonce[2:], alice, false},
		{"an IPv6 client's", nonces.issue(at("[2001:db8::1]:1", UDP)), at("[2001:db8::1]:1", UDP), true},
	} {
		if got := nonces.isGood([]byte(tt.nonce), tt.from); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct {
		after time.Duration
		want  bool
	}{{59 * time.Second, true}, {time.Second, false}, {-2 * time.Minute, false}} {
		c.advance(tt.after)
		if got := nonces.isGood([]byte(nonce), alice); got != tt.want {
			t.Errorf("%v later: got %v, want %v", tt.after, got, tt.want)
		}
	}
}

func BenchmarkNonce(b *testing.B) {
	nonces := newNonces(time.Minute, time.Now)
	alice := fiveTuple{client: netip.MustParseAddrPort("192.0.2.1:1000")}
	nonce := []byte(nonces.issue(alice))
	b.ReportAllocs()
	for b.Loop() {
		nonces.isGood(nonce, alice)
	}
}
