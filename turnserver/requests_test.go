package turnserver

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// permission64 is a signed CreatePermission with as many peers as one may have.
func (c *testClient) permission64() []byte {
	setters := []stun.Setter{stun.TransactionID, stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)}
	for i := range maxPeers {
		setters = append(setters, peerAddress(netip.AddrPortFrom(netip.AddrFrom4([4]byte{8, 8, 4, byte(i)}), 53)))
	}
	return stun.MustBuild(append(setters, c.credentials()...)...).Raw
}

// One owner of an allocation sends far more CreatePermission requests than its rate allows. Others
// lose no packet and no answer, and of the flood no more is answered than the rate allows.
func TestRequestFlood(t *testing.T) {
	const (
		exchanges = 250
		burst     = 20 // requests before each exchange, which the socket's buffer holds
	)
	ts := newTestServer(t, func(cfg *Config) { cfg.Allow, cfg.Shards = allow(t, "127.0.0.2/32"), 1 })
	p := newPeer(t, "127.0.0.2")
	began := time.Now()
	mallory, bob := ts.calling(UDP, "mallory", p), ts.calling(UDP, "bob", p)
	message := mallory.permission64()
	for i := range exchanges {
		for range burst {
			mallory.write(message)
		}
		bob.exchange(p, fmt.Sprint("packet ", i))
		if i%10 == 0 { // within bob's rate
			bob.wantOK(stun.MethodRefresh, bob.request(stun.MethodRefresh, lifetime(600)))
			bob.wantOK(stun.MethodCreatePermission, bob.permit(p.addr))
		}
	}
	bob.wantOK(stun.MethodRefresh, bob.request(stun.MethodRefresh, lifetime(600))) // after all of the flood
	elapsed := time.Since(began)
	answered := exchanges*burst - int(ts.total().Dropped[dropRequests.String()])
	most := int((elapsed+requestBurst).Seconds()*DefaultRequestRate) / requestCost(len(message))
	t.Logf("in %v %d of %d requests were answered", elapsed, answered, exchanges*burst)
	if answered == 0 || answered > most {
		t.Errorf("%d requests of the flood were answered, want 1 to %d", answered, most)
	}
}

// Data does not wait for a request that is being answered.
func TestDataPassesRequest(t *testing.T) {
	ts := newTestServer(t, func(cfg *Config) { cfg.Allow, cfg.Shards = allow(t, "127.0.0.2/32"), 1 })
	p := newPeer(t, "127.0.0.2")
	mallory, bob := ts.calling(UDP, "mallory", p), ts.calling(UDP, "bob", p)
	ts.control.one.Lock() // the library takes its time
	unlock := sync.OnceFunc(ts.control.one.Unlock)
	t.Cleanup(unlock)
	refresh := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassRequest)}, mallory.credentials()...)...)
	mallory.write(refresh.Raw)
	bob.exchange(p, "still here")
	unlock()
	if got := (&stun.Message{Raw: mallory.read()}); got.Decode() != nil || got.TransactionID != refresh.TransactionID || errorCode(got) != 0 {
		t.Errorf("the request is answered with %v, want success", got)
	}
}

// An allocation's requests have a rate, and all of its user's together; other users have their own.
func TestRequestRate(t *testing.T) {
	const rate = 10
	ts := newIdleServer(t, func(cfg *Config) { cfg.RequestRate, cfg.UserQuota = rate, 2*quotaShare })
	sleep := ts.stopClock()
	burst := int(requestBurst.Seconds()) * rate
	refreshed := func(c *testClient, n int) (answered int) {
		for range n {
			if sent(c, stun.MethodRefresh, append([]stun.Setter{lifetime(600)}, c.credentials()...)...) != nil {
				answered++
			}
		}
		return answered
	}
	var mallory []*testClient
	for i := range 3 {
		mallory = append(mallory, ts.owner(fmt.Sprintf("127.0.1.%d:1", 1+i), "mallory"))
	}
	bob := ts.owner("127.0.2.1:1", "bob")
	sleep(time.Minute)                            // the allocations have cost something
	for i, want := range []int{burst, burst, 0} { // two allocations use up what all have
		if got := refreshed(mallory[i], 2*burst); got != want {
			t.Errorf("allocation %d: %d requests were answered at once, want %d", i, got, want)
		}
	}
	if got := refreshed(bob, 2*burst); got != burst {
		t.Errorf("another user: %d requests were answered at once, want %d", got, burst)
	}
	sleep(time.Second)
	if got := refreshed(mallory[2], 2*burst); got != 2*rate {
		t.Errorf("after a second %d requests were answered, want %d of a user", got, 2*rate)
	}
	if got := refreshed(bob, 2*burst); got != rate {
		t.Errorf("after a second %d requests were answered, want %d of an allocation", got, rate)
	}
}

// stopClock stops the time of rates. From then on it goes on when the test says so.
func (ts *testServer) stopClock() (sleep func(time.Duration)) {
	var now atomic.Int64
	ts.allocations.bandwidth.now = func() time.Duration { return time.Duration(now.Load()) }
	return func(d time.Duration) { now.Add(int64(d)) }
}

// owner returns a client with an allocation.
func (ts *testServer) owner(from, user string) *testClient {
	ts.t.Helper()
	c := ts.at(from, user)
	if code := errorCode(c.request(stun.MethodAllocate, requestedUDP)); code != 0 {
		ts.t.Fatalf("allocate for %s: got %d", user, code)
	}
	return c
}

// Opening allocations has a rate of the user's.
func TestAllocateRate(t *testing.T) {
	ts := newIdleServer(t, func(cfg *Config) { cfg.RequestRate = 1 })
	sleep := ts.stopClock()
	c := ts.at("127.0.1.1:1", "mallory")
	opened := func() (n int) {
		for ; n < 10 && errorCode(c.request(stun.MethodAllocate, requestedUDP)) == 0; n++ {
			ts.only().end()
		}
		return n
	}
	// A quota of 40 has the rate of four allocations: 4 tokens a second, and 20 at once.
	if got := opened(); got != 5 {
		t.Errorf("%d allocations were opened at once, want 5", got)
	}
	sleep(2 * time.Second)
	if got := opened(); got != 2 {
		t.Errorf("after two seconds %d were opened, want 2", got)
	}
}

// What is sent in an owner's name without its key takes nothing of its rate.
func TestForgedRequests(t *testing.T) {
	ts := newIdleServer(t, func(cfg *Config) { cfg.RequestRate = 1 })
	ts.stopClock()
	c := ts.owner("127.0.1.1:1", "alice")
	forger := *c
	forger.password = "wrong"
	for range 100 {
		sent(&forger, stun.MethodRefresh, append([]stun.Setter{lifetime(0)}, forger.credentials()...)...)
		sent(c, stun.MethodBinding)
	}
	if got := sent(c, stun.MethodRefresh, append([]stun.Setter{lifetime(600)}, c.credentials()...)...); got == nil || errorCode(got) != 0 {
		t.Errorf("the owner gets %v after a flood in its name, want success", got)
	}
}

// Over a connection nothing is lost that is beyond the rate: it waits.
func TestRequestRateOverTCP(t *testing.T) {
	t.Parallel() // it waits
	const rate, requests = 20, 120
	ts := newTestServer(t, func(cfg *Config) { cfg.RequestRate = rate })
	c := ts.over(TCP, "alice")
	c.allocate()
	began := time.Now()
	for range requests {
		c.wantOK(stun.MethodRefresh, c.request(stun.MethodRefresh, lifetime(600)))
	}
	if took, least := time.Since(began), time.Second*requests/rate-requestBurst; took < least {
		t.Errorf("%d requests took %v, want at least %v", requests, took, least)
	}
	for range 100 { // the server closes while they wait
		c.write(stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassRequest)}, c.credentials()...)...).Raw)
	}
}

// Who has used up a share of the queue loses requests, others do not.
func TestRequestShares(t *testing.T) {
	r := newRequests()
	alice, bob := &allocation{use: new(usage)}, &allocation{use: new(usage)}
	from := func(ip string) client {
		return client{fiveTuple: fiveTuple{client: netip.AddrPortFrom(netip.MustParseAddr(ip), 1)}}
	}
	put := func(a *allocation, c client, n int) (queued int) {
		for i := range n {
			if r.put(a, c, fmt.Append(nil, i)) {
				queued++
			}
		}
		return queued
	}
	for _, step := range []struct {
		name      string
		a         *allocation
		from      string
		put, want int
	}{
		{"a user", alice, "192.0.2.1", 300, maxWaitingOfUser},
		{"the same from elsewhere", &allocation{use: alice.use}, "192.0.2.2", 1, 0},
		{"another user", bob, "192.0.2.1", 300, maxWaitingOfUser},
		{"a stranger at a user's address", nil, "192.0.2.1", 100, maxWaitingOfGroup},
		{"another stranger", nil, "192.0.2.2", 100, maxWaitingOfGroup},
	} {
		if got := put(step.a, from(step.from), step.put); got != step.want {
			t.Errorf("%s: %d of %d were queued, want %d", step.name, got, step.put, step.want)
		}
	}
	list := r.take(nil)
	if want := 2*maxWaitingOfUser + 2*maxWaitingOfGroup; len(list) != want {
		t.Fatalf("%d wait, want %d", len(list), want)
	}
	for i, w := range list[:maxWaitingOfUser] {
		if got := string(w.buffer[:w.length]); got != fmt.Sprint(i) {
			t.Fatalf("place %d has %s, want the order in which they came", i, got)
		}
	}
	if got := put(alice, from("192.0.2.1"), 1); got != 1 {
		t.Error("after all were taken a user has no room")
	}
	strangers := 0
	for i := range 2 * maxWaiting {
		strangers += put(nil, from(fmt.Sprintf("10.%d.%d.1", i>>8, i&255)), 1)
	}
	if strangers != maxWaiting || put(bob, from("192.0.2.1"), 1) != 1 {
		t.Errorf("%d strangers are queued, want %d, and room for owners", strangers, maxWaiting)
	}
}
