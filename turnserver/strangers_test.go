package turnserver

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"
)

// answered counts how many of n requests, one from each port, were answered.
func answered(ts *testServer, ip string, n int, ask func(*testClient) *stun.Message) (answers int) {
	for port := range n {
		if ask(ts.at(netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(1+port)).String(), "alice")) != nil {
			answers++
		}
	}
	return answers
}

// sent is what a request causes, without a Binding request behind it, which has a limit of its own.
func sent(c *testClient, method stun.Method, with ...stun.Setter) *stun.Message {
	g := c.conn.(*guardConn)
	m := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, with...)...)
	g.Write(m.Raw)
	if len(g.answers) == 0 {
		return nil
	}
	response := &stun.Message{Raw: g.answers[0]}
	g.answers = nil
	response.Decode()
	return response
}

func challenged(c *testClient) *stun.Message { return sent(c, stun.MethodAllocate) }
func bound(c *testClient) *stun.Message      { return sent(c, stun.MethodBinding) }
func stale(c *testClient) *stun.Message {
	c.nonce = "00000000000000000000000000ff"
	return sent(c, stun.MethodRefresh, c.credentials()...)
}

// What one address group gets is bounded, and so is what all get. Time gives it back. This is the one thing that the guard
// does by the real clock: the test has one of its own.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newIdleServer(t, nil)
		want := func(name string, got, want int) {
			t.Helper()
			if got != want {
				t.Errorf("%s: got %d answers, want %d", name, got, want)
			}
		}
		want("first", answered(ts, "8.8.8.8", 50, challenged), 40)
		want("stale nonces count as well", answered(ts, "8.8.8.8", 5, stale), 0)
		want("another address", answered(ts, "8.8.8.9", 50, challenged), 40)
		want("a home's /56", answered(ts, "2606:4700:1:1::1", 30, challenged), 30)
		want("the same /56", answered(ts, "2606:4700:1:ff::1", 30, challenged), 10)
		want("another /56", answered(ts, "2606:4700:1:100::1", 50, challenged), 40)
		want("Binding is another thing", answered(ts, "8.8.8.8", 300, bound), 200)
		want("this machine is none the better", answered(ts, "127.0.0.1", 50, challenged), 40)
		if got := ts.total(); got.Dropped["stranger"] != 10+5+10+20+10+100+10 || got.Errors[401] != 40+40+40+40+40 || got.Errors[438] != 0 {
			t.Errorf("counted: got %v and %v", got.Dropped, got.Errors)
		}
		time.Sleep(time.Second)
		want("a second later", answered(ts, "8.8.8.8", 50, challenged), 20)
		want("Binding a second later", answered(ts, "8.8.8.8", 150, bound), 100)
	})
}

// A flood from all over the world does not make this server answer all over the world.
func TestStrangersInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newIdleServer(t, nil)
		flood := func(n int, ask func(*testClient) *stun.Message) (answers int) {
			for i := range n {
				ip := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 0x08000000+uint32(i))))
				answers += answered(ts, ip.String(), 1, ask)
			}
			return answers
		}
		for _, tt := range []struct {
			name    string
			ask     func(*testClient) *stun.Message
			n, want int
		}{{"401", challenged, 5_000, 2_000}, {"Binding", bound, 15_000, 10_000}} {
			if got := flood(tt.n, tt.ask); got != tt.want {
				t.Errorf("%s: got %d answers to %d strangers, want %d", tt.name, got, tt.n, tt.want)
			}
		}
	})
}

// Whose guesses are too many has no more of them checked, over whatever transport. What is open goes on.
func TestGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newIdleServer(t, nil)
		const burst, perSecond = 20_000, 1_000
		known := func(from string, transport Transport) *testClient {
			c := ts.at(from, "alice")
			g := c.conn.(*guardConn)
			g.client.transport = transport
			c.nonce = ts.guard.nonces.issue(g.client.fiveTuple)
			return c
		}
		signed := func(c *testClient) *stun.Message { return sent(c, stun.MethodRefresh, c.credentials()...) }
		owner := learned(ts, "8.8.8.8:1", true)
		for i := range burst {
			c := known("8.8.8.8:2", []Transport{UDP, TCP, TLS, DTLS}[i%4])
			c.password = "guess"
			if i > 0 { // the owner's was one
				signed(c)
			}
		}
		want := func(name string, c *testClient, want int) {
			t.Helper()
			before := ts.total().Dropped["stranger"]
			if response := signed(c); want == 0 && (response != nil || ts.total().Dropped["stranger"] != before+1) {
				t.Errorf("%s: got %v, want no answer, and that it is counted", name, response)
			} else if want != 0 {
				if err := wantCode(response, want); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		for _, transport := range []Transport{UDP, TCP, TLS, DTLS} {
			want(transport.String(), known("8.8.8.8:3", transport), 0)
		}
		want("another address", known("8.8.8.9:3", UDP), 437)
		if err := wantCode(sent(owner, stun.MethodRefresh, owner.credentials()...), 0); err != nil {
			t.Errorf("an allocation that is open: %v", err)
		}
		ts.Kick("alice", time.Time{}) // who reads a socket keeps the bubble's time from going on
		time.Sleep(time.Second)
		for range perSecond {
			want("a second later", known("8.8.8.8:3", UDP), 437)
		}
		want("and more", known("8.8.8.8:3", UDP), 0)
	})
}

// Who authenticates, has an allocation or comes over a connection is no stranger.
func TestNoStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newIdleServer(t, nil)
		known, owner := learned(ts, "8.8.8.8:1", false), learned(ts, "8.8.8.8:2", true)
		connected := ts.at("8.8.8.8:3", "alice")
		connected.conn.(*guardConn).client.transport = TCP
		answered(ts, "8.8.8.8", 1000, challenged)
		answered(ts, "8.8.8.8", 1000, bound)
		for i := range 100 {
			for name, response := range map[string]*stun.Message{
				"authenticated":              sent(known, stun.MethodRefresh, known.credentials()...),
				"allocated, authenticated":   sent(owner, stun.MethodRefresh, owner.credentials()...),
				"allocated, stale":           stale(ts.at("8.8.8.8:2", "alice")),
				"allocated, Binding":         bound(owner),
				"connected, unauthenticated": challenged(connected),
				"connected, Binding":         bound(connected),
			} {
				if response == nil {
					t.Fatalf("%s: no answer to request %d", name, i)
				}
			}
		}
		ts.Close() // in the bubble
	})
}

// What a stranger's request costs: one that is answered, and one of a flood that is not.
func BenchmarkStranger(b *testing.B) {
	ts := newIdleServer(b, nil)
	allocate := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), requestedUDP).Raw
	forged := ts.at("8.8.8.8:1", "mallory")
	forged.nonce = "00000000000000000000000000ff"
	signed := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), requestedUDP}, forged.credentials()...)...).Raw
	known := learned(ts, "127.0.1.1:1", false)
	known.password = "guess"
	guess := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), requestedUDP}, known.credentials()...)...).Raw
	for _, bb := range []struct {
		name, from string
		raw        []byte
	}{
		{"answered", "127.0.0.1:1", allocate}, {"refused", "8.8.8.8:1", allocate}, {"refused/nonce", "8.8.8.8:1", signed},
		{"guess", "127.0.1.1:1", guess}, {"binding", "127.0.0.1:1", stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw},
		{"malformed", "8.8.8.8:1", allocate[:24]},
	} {
		c := ts.at(bb.from, "mallory").conn.(*guardConn)
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.guard.handle(c.client, bb.raw)
			}
		})
	}
	b.Run("refused/spread", func(b *testing.B) { // from a new address each time
		c := *ts.at("8.8.8.8:1", "mallory").conn.(*guardConn)
		client, i := *c.client, uint32(0)
		b.ReportAllocs()
		for b.Loop() {
			i++
			client.client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(i>>24) | 8, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
			c.guard.handle(&client, allocate)
		}
	})
}
