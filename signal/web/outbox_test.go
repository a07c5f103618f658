//go:build integration

package web

import (
	"fmt"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/signal/web/webtest"
)

// virtualTime runs an expression of the page's Outbox on a clock that jumps from
// timer to timer, and returns what was sent when.
const virtualTime = `import("/outbox.js").then(({ Outbox }) => {
	let now = 0;
	const timers = [], sent = [], failed = [];
	performance.now = () => now;
	const real = setTimeout;
	window.setTimeout = (then, ms) => timers.push({ at: now + ms, then });
	const outbox = new Outbox({
		send: (message) => sent.push({ at: now, type: message.type, n: 1 }),
		watch: (message) => sent.push({ at: now, type: message.type, n: message.candidates?.length ?? 1 }),
	});
	const until = (end) => {
		for (;;) {
			timers.sort((a, b) => a.at - b.at);
			if (!timers.length || timers[0].at > end) return now = end;
			const timer = timers.shift();
			now = Math.max(now, timer.at);
			timer.then();
		}
	};
	const send = (message, ended = () => false) => outbox.send(message, ended, () => failed.push(now));
	%s
	until(60_000);
	window.setTimeout = real;
	return { sent, failed: failed.length };
})`

type sending struct {
	Sent []struct {
		At   float64 // ms
		Type string
		N    int
	}
	Failed int
}

// The server's rates, in signal/rates.go.
var serverRates = map[string]limit.Rate{
	"candidates": {PerSecond: 20, Burst: 100},
	"offer":      {PerSecond: 5, Burst: 20},
	"reject":     {PerSecond: 10, Burst: 50},
}

func TestNothingIsSentFasterThanTheServerTakesIt(t *testing.T) {
	t.Parallel()
	p := newPerson(t, newFakeServer(t), "module")
	for _, tt := range []struct {
		name, run    string
		sent, failed int // at least, in messages
	}{
		{"candidates one by one", `for (let i = 0; i < 256; i++) send({ type: "candidates", candidates: [i] });`, 256, 0},
		{"candidates in batches", `for (let i = 0; i < 11; i++) send({ type: "candidates", candidates: Array(32).fill(i) });`, 11, 0},
		{"call after call", `for (let i = 0; i < 30; i++) { until(i * 1000); send({ type: "offer" }); send({ type: "candidates", candidates: Array(12).fill(i) }); }`, 60, 0},
		{"more than anyone waits for", `for (let i = 0; i < 200; i++) send({ type: "offer" });`, 90, 90},
		{"flood of offers to reject", `for (let i = 0; i < 1000; i++) { until(i * 10); outbox.tell({ type: "reject" }); }`, 90, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := webtest.Eval[sending](p, fmt.Sprintf(virtualTime, tt.run))
			if len(got.Sent) < tt.sent || got.Failed < tt.failed {
				t.Errorf("got %d sent and %d failed, want %d and %d at least", len(got.Sent), got.Failed, tt.sent, tt.failed)
			}
			buckets := map[string]*limit.Bucket{"candidates": {}, "offer": {}, "reject": {}}
			start := time.Unix(1_800_000_000, 0)
			for i, m := range got.Sent {
				at := start.Add(time.Duration(m.At * float64(time.Millisecond)))
				if wait := buckets[m.Type].Take(at, serverRates[m.Type], m.N); wait > 0 {
					t.Fatalf("message %d, %s at %v ms, came %v too early", i, m.Type, m.At, wait)
				}
			}
		})
	}
}

// What waits for a call that has ended is not sent.
func TestWaitingMessagesEndWithTheirCall(t *testing.T) {
	t.Parallel()
	p := newPerson(t, newFakeServer(t), "module")
	got := webtest.Eval[sending](p, fmt.Sprintf(virtualTime, `
		let over = false;
		for (let i = 0; i < 100; i++) send({ type: "candidates", candidates: [i] }, () => over);
		const before = sent.length;
		over = true;
		until(30_000);
		if (sent.length !== before || before === 100) throw new Error(before + " sent, then " + sent.length);`))
	if len(got.Sent) == 0 || got.Failed != 0 {
		t.Errorf("got %d sent and %d failed, want some, and none failed", len(got.Sent), got.Failed)
	}
}

func TestWhatCameTooFastIsSentAgain(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice, bob := newPerson(t, s, "alice", hurried(1000)), newPerson(t, s, "bob", hurried(1000))
	for _, p := range []*webtest.Person{alice, bob} {
		p.SignIn(p.Name + "-password")
		p.WantVisible("#app")
	}
	for _, kind := range []string{"offer", "answer", "candidates"} {
		s.slowDown(kind, 2)
	}
	alice.Call("bob")
	for _, p := range []*webtest.Person{alice, bob} {
		p.WantText("#status", "Connected, direct")
	}
}

// A server that goes on like that is not asked for ever.
func TestOfferThatStaysTooFastEndsTheCall(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	alice := newPerson(t, s, "alice", hurried(1000))
	alice.SignIn("alice-password")
	alice.WantVisible("#app")
	s.slowDown("offer", 100)
	alice.Write("#find-name", "bob\r")
	alice.WantText("#ended-text", "Too much was sent at once. Try again in 1 s.")
	if got := len(s.sent("alice", "offer")); got != 5 {
		t.Errorf("got %d offers, want 5", got)
	}
}
