package turnserver

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/stun/v3"
)

// One user's flood of Allocate requests stops at the quota, all users' at the bound of all; calls go on.
func TestAllocationFlood(t *testing.T) {
	const quota, most, requests = 20, 50, 200
	ts := newTestServer(t, func(cfg *Config) {
		cfg.UserQuota, cfg.MaxAllocations, cfg.Allow = quota, most, allow(t, "127.0.0.2/32")
	})
	p := newPeer(t, "127.0.0.2")
	bob := ts.calling(UDP, "bob", p)
	flood := func(user string, want map[int]int) {
		t.Helper()
		got := make(map[int]int)
		var mu sync.Mutex
		var clients sync.WaitGroup
		for worker := range 4 {
			clients.Go(func() {
				for i := range requests / 4 {
					c := ts.at(fmt.Sprintf("127.0.%d.%d:%d", 10+worker, 1+i/20, 1+i), user)
					code := errorCode(c.request(stun.MethodAllocate, requestedUDP))
					mu.Lock()
					got[code]++
					mu.Unlock()
				}
			})
		}
		clients.Wait()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got the codes %v, want %v", user, got, want)
		}
		bob.exchange(p, "still here")
	}
	flood("mallory", map[int]int{0: quota, 486: requests - quota})
	ts.calling(UDP, "carol", p)
	for i := range 2 * quota { // from elsewhere, since at those places are mallory's
		c := ts.at(fmt.Sprintf("127.0.2.%d:%d", 1+i/20, 1+i), fmt.Sprint("user", i/15))
		want := 0
		if i >= most-quota-2 {
			want = 508
		}
		if got := errorCode(c.request(stun.MethodAllocate, requestedUDP)); got != want {
			t.Errorf("Allocate %d of other users: got %d, want %d", i, got, want)
		}
	}
	ts.Kick("mallory", time.Time{})
	bob.exchange(p, "still here")
	ts.calling(UDP, "dave", p)
}

// floodOf asks for allocations again and again from each of 1000 addresses, unsigned and with a wrong password, and returns how
// many answers came, all of them 401.
func floodOf(t *testing.T, requests int, client func(i int) *testClient, answer func(*testClient, *stun.Message) *stun.Message) (answers int) {
	t.Helper()
	const addresses = 1000
	for i := range addresses {
		c := client(i)
		c.password = "guess"
		for n := range requests {
			setters := []stun.Setter{stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), requestedUDP}
			if n%2 == 1 && c.nonce != "" {
				setters = append(setters, c.credentials()...)
			}
			response := answer(c, stun.MustBuild(setters...))
			if response == nil {
				continue
			}
			answers++
			if errorCode(response) != 401 {
				t.Fatalf("got %v, want 401", response)
			}
			var nonce stun.Nonce
			if err := nonce.GetFrom(response); err != nil {
				t.Fatalf("a challenge has no nonce: %v", err)
			}
			c.nonce = nonce.String()
		}
		c.conn.Close()
	}
	return answers
}

// Strangers' requests, unsigned or with wrong credentials, leave nothing, whoever sends them.
func TestStrangersLeaveNothing(t *testing.T) {
	ts := newTestServer(t, withAllow(t, "127.0.0.2/32"))
	p := newPeer(t, "127.0.0.2")
	bob := ts.calling(UDP, "bob", p)
	before := holding()
	answers := floodOf(t, 2,
		func(i int) *testClient { return ts.from(UDP, fmt.Sprintf("127.2.%d.%d", i/250, 1+i%250), "mallory") },
		(*testClient).roundTrip)
	if answers != 2_000 || ts.total().Errors[401] != 2_000+1 {
		t.Errorf("%d answers, %d counted, want one for each request", answers, ts.total().Errors[401])
	}
	wantHeld(t, before.andSlack())
	if got := ts.Stats(); got.Allocations != 1 || got.Users != 1 {
		t.Errorf("%d allocations of %d users, want bob's", got.Allocations, got.Users)
	}
	bob.exchange(p, "still here")
}

// From outside, 20 000 requests of 1000 strangers at once get no more answers than the bound of all lets out.
func TestStrangersGetFewAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newIdleServer(t, nil)
		answers := floodOf(t, 20,
			func(i int) *testClient { return ts.at(fmt.Sprintf("8.8.%d.%d:%d", i/250, i%250, 1+i), "mallory") },
			func(c *testClient, m *stun.Message) *stun.Message {
				g := c.conn.(*guardConn)
				g.Write(m.Raw)
				if len(g.answers) == 0 {
					return nil
				}
				response := &stun.Message{Raw: g.answers[0]}
				g.answers = nil
				if err := response.Decode(); err != nil {
					t.Fatal(err)
				}
				return response
			})
		if got := ts.total(); answers != 2_000 || got.Dropped["stranger"] != 18_000 {
			t.Errorf("%d answers, %v dropped, want 2000 and the others", answers, got.Dropped)
		}
		if got := ts.Stats(); got.Allocations != 0 || got.Users != 0 {
			t.Errorf("%d allocations of %d users", got.Allocations, got.Users)
		}
	})
}

// wantHeld waits until the process holds no more than most, once what has ended is gone, and returns what it holds.
func wantHeld(t testing.TB, most held) held {
	t.Helper()
	now := holding()
	for end := time.Now().Add(patience); !now.within(most); now = holding() {
		if time.Now().After(end) {
			t.Fatalf("the process holds %v, want %v at most", now, most)
		}
		time.Sleep(10 * time.Millisecond) // a look costs two garbage collections
	}
	return now
}

// ClientHellos from everywhere, which nobody goes on with, leave no memory, and an established session relays.
func TestDTLSFlood(t *testing.T) {
	ts := newTestServer(t, withTLS(t, func(cfg *Config) { everywhere(cfg); cfg.Allow = allow(t, "127.0.0.2/32") }))
	p := newPeer(t, "127.0.0.2")
	bob := ts.calling(DTLS, "bob", p)
	hello := clientHello(t)
	before := holding()
	const addresses, hellos = 1000, 20
	for i := range addresses {
		from := net.UDPAddr{IP: net.IPv4(127, 3, byte(i/250), byte(1+i%250))}
		mallory, err := net.DialUDP("udp", &from, net.UDPAddrFromAddrPort(ts.Addrs(DTLS)[0]))
		if err != nil {
			t.Fatal(err)
		}
		for range hellos {
			binary.BigEndian.PutUint64(hello[helloRandom:], rand.Uint64()) // as another client's
			if _, err := mallory.Write(hello); err != nil {
				t.Fatal(err)
			}
		}
		mallory.Close()
		if i%10 == 9 { // no more at once than sockets hold
			until(t, "the hellos are answered", func() bool { return ts.asked() >= uint64((i+1)*hellos) })
		}
		if i%50 == 0 {
			bob.exchange(p, fmt.Sprint("still here ", i))
		}
	}
	carol := ts.from(DTLS, "127.0.0.1", "carol") // is let in
	carol.allocate()
	carol.conn.Close()
	wantHeld(t, before.andSlack())
	bob.exchange(p, "still here")
	if got := ts.Stats(); got.Allocations != 1 || got.Sum().Connections != 1 {
		t.Errorf("%d allocations, %d connections, want bob's", got.Allocations, got.Sum().Connections)
	}
}

// asked is how many DTLS clients were asked for a cookie.
func (ts *testServer) asked() (n uint64) {
	for _, l := range ts.listeners {
		if l.transport == DTLS {
			n += l.dtls.Stats().Asked
		}
	}
	return n
}

// helloRandom is where the random bytes of a ClientHello begin: behind the headers of record and message, and the version.
const helloRandom = 13 + 12 + 2

// clientHello returns what a DTLS client sends first.
func clientHello(t *testing.T) []byte {
	t.Helper()
	sink := newPeer(t, "127.0.0.1")
	socket := newPeer(t, "127.0.0.1")
	client, err := dtls.ClientWithOptions(socket, net.UDPAddrFromAddrPort(sink.addr), dtls.WithInsecureSkipVerify(true))
	if err != nil {
		t.Fatal(err)
	}
	shaken := make(chan struct{})
	go func() { client.HandshakeContext(t.Context()); close(shaken) }()
	buffer := make([]byte, 1<<16)
	n, _, err := sink.ReadFromUDPAddrPort(buffer)
	if err != nil {
		t.Fatal(err)
	}
	socket.Close()
	client.Close()
	<-shaken
	return buffer[:n]
}
