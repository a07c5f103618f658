package signal

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// A watcher follows who is here by what the server tells it.
type watcher struct {
	*client
	here     map[string]bool
	messages int
}

func (ts *testServer) watcher(name string) *watcher {
	w := &watcher{client: ts.join(name)}
	w.ask()
	return w
}

// ask asks who is here, and takes in what comes up to the answer.
func (w *watcher) ask() {
	w.t.Helper()
	w.send(`{"type":"peers","id":"list"}`)
	for w.take() != "peers" {
	}
}

// take takes in one message, and returns its type.
func (w *watcher) take() string {
	w.t.Helper()
	got, err := w.read()
	if err != nil {
		w.t.Fatalf("%s: %v", w.name, err)
	}
	kind, name := got["type"].(string), fmt.Sprint(got["name"])
	switch kind {
	case "peers":
		w.here = map[string]bool{}
		for _, p := range got["peers"].([]any) {
			w.here[p.(map[string]any)["name"].(string)] = true
		}
	case "joined", "left":
		if joined := kind == "joined"; w.here[name] == joined || name == w.name {
			w.t.Errorf("%s: got %v, which is known", w.name, got)
		}
		if kind == "left" && got["reason"] == "" {
			w.t.Errorf("%s: got %v, want a reason", w.name, got)
		}
		w.messages++
		w.here[name] = kind == "joined"
	}
	return kind
}

// catchUp takes in what has been sent so far.
func (w *watcher) catchUp() {
	w.t.Helper()
	w.send(`{"type":"ice"}`)
	for w.take() != "ice" {
	}
}

// wantRoom checks that the watcher knows exactly who is here.
func (w *watcher) wantRoom(ts *testServer) {
	w.t.Helper()
	synctest.Wait() // a batch may be due at this very moment
	w.catchUp()
	var want, got []string
	for _, s := range ts.List() {
		if s.User != w.name {
			want = append(want, s.User)
			if w.here[s.User] {
				got = append(got, s.User)
			}
		}
	}
	for name, here := range w.here {
		if here && ts.hub.find(name) == nil {
			got = append(got, name)
		}
	}
	if len(got) != len(want) || len(want) > 0 && strings.Join(got, " ") != strings.Join(want, " ") {
		w.t.Errorf("%s: sees %v, and %v are here", w.name, got, want)
	}
}

func (c *client) signOut() {
	c.ws.Close()
	synctest.Wait()
}

// TestPresenceIsBatched: however often somebody signs in and out, a watcher hears of it once per
// batch at most.
func TestPresenceIsBatched(t *testing.T) {
	bubbleWith(t, &Config{Rates: unbounded}, func(ts *testServer) {
		w := ts.watcher("user1")
		began := time.Now()
		for range 140 { // 10 s
			c := ts.join("user2")
			time.Sleep(35 * time.Millisecond)
			c.signOut()
			time.Sleep(36 * time.Millisecond)
		}
		time.Sleep(presenceInterval)
		w.wantRoom(ts)
		if most := int(time.Since(began) / presenceInterval); w.messages > most {
			t.Errorf("%d messages, want at most %d", w.messages, most)
		}
	})
}

// TestPresenceIsNet: who comes and goes, or goes and comes, within a batch is not told, except to
// those who asked in between.
func TestPresenceIsNet(t *testing.T) {
	bubbleWith(t, &Config{Rates: unbounded}, func(ts *testServer) {
		stays := ts.join("user3")
		w := ts.watcher("user1")
		comes := ts.join("user4")
		stays.signOut()
		between := ts.watcher("user2")
		if !between.here["user4"] || between.here["user3"] {
			t.Errorf("user2 is told of %v, want user4 and not user3", between.here)
		}
		comes.signOut()
		ts.join("user3")
		time.Sleep(presenceInterval)
		w.wantRoom(ts)
		between.wantRoom(ts)
		if w.messages != 1 { // user2 joined
			t.Errorf("user1 is told %d changes, want 1", w.messages)
		}
		if between.messages != 2 { // user4 left, user3 joined
			t.Errorf("user2 is told %d changes, want 2", between.messages)
		}
	})
}

// TestPresenceOfAll: in the end everybody knows who is here: who watched from the start, who asked
// at any time, and who did not read for long.
func TestPresenceOfAll(t *testing.T) {
	const users, changes = 400, 4000
	bubbleWith(t, &Config{Rates: unbounded}, func(ts *testServer) {
		r := rand.New(rand.NewPCG(1, 2))
		slow := ts.watcher("user1")
		watchers := []*watcher{slow, ts.watcher("user2"), ts.watcher("user3")}
		in := map[int]*client{}
		for i := range changes {
			n := 10 + r.IntN(users)
			if c := in[n]; c != nil {
				c.signOut()
				delete(in, n)
			} else {
				in[n] = ts.join(fmt.Sprintf("user%d", n))
			}
			if i%20 == 0 {
				time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
				watchers[1].catchUp()
				watchers[2].ask()
			}
		}
		synctest.Wait()
		if ts.queued(slow.name) == 0 {
			t.Error("nothing waits for the watcher that does not read: there is nothing to test")
		}
		slow.catchUp()
		time.Sleep(10 * presenceInterval)
		for _, w := range watchers {
			w.wantRoom(ts)
		}
	})
}

// TestWatcherThatDoesNotRead: a watcher is not closed because of how many come and go.
func TestWatcherThatDoesNotRead(t *testing.T) {
	const users = 1500
	bubbleWith(t, &Config{Rates: unbounded, MaxQueue: protocol.MaxFrame}, func(ts *testServer) {
		w := ts.watcher("user1")
		var in []*client
		for i := range users {
			in = append(in, ts.join(fmt.Sprintf("user%d", 10+i)))
		}
		time.Sleep(2 * presenceInterval)
		for _, c := range in[:users/2] {
			c.ws.Close()
		}
		synctest.Wait()
		if limit := ts.cfg.MaxQueue; ts.queued("user1") > limit {
			t.Errorf("%d bytes wait, limit %d", ts.queued("user1"), limit)
		}
		for range 60 {
			time.Sleep(presenceInterval)
			w.catchUp()
		}
		w.wantRoom(ts)
	})
}

// TestSignInsAreLimited: a user signs in so often, over WebSocket and HTTP API together. Others do
// not feel it, and whoever does not know the password cannot use it up.
func TestSignInsAreLimited(t *testing.T) {
	as := newAccessServer(t)
	as.restartWith(func(cfg *Config) { cfg.Rates.SignIns = limit.Rate{PerSecond: 0.001, Burst: 3} })
	signIn := func(name string) *client {
		c := as.connect(name)
		c.send(`{"type":"login","name":"` + name + `","password":"password` + name[4:] + `","room":"team"}`)
		return c
	}
	for range 2 {
		c := signIn("user1")
		c.want(`{"success":true}`)
		c.ws.Close()
		as.awaitSessions(0)
	}
	as.access("user1")
	if got := signIn("user1").want(`{"success":false,"code":"rate_limited"}`); got["retryAfter"] == nil {
		t.Errorf("got %v, want when to try again", got)
	}
	if status, answer := as.do("POST", protocol.PathLogin, "", `{"name":"user1","password":"password1"}`); status != 429 || answer["retryAfter"] == nil {
		t.Errorf("login over HTTP = %d %v, want 429 and when to try again", status, answer)
	}
	guess := as.connect("guess")
	for range 5 {
		guess.send(`{"type":"login","name":"user2","password":"guess"}`)
		guess.want(`{"success":false,"code":"bad_credentials"}`)
	}
	signIn("user2").want(`{"success":true}`)
}
