package signal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// A backlog is a receiver that does not read, and what waits for it.
type backlog struct {
	*testServer
	receiver *client
	accepted int // messages that wait for the receiver
}

func newBacklog(ts *testServer) *backlog { return &backlog{testServer: ts, receiver: ts.join("user1")} }

// push sends the receiver a message of a call, and reports whether the server accepted it.
func (b *backlog) push(from *client, kind, call, more string) bool {
	b.t.Helper()
	from.send(`{"type":"` + kind + `","name":"user1","call":"` + call + `"` + more + `}`)
	from.send(`{"type":"ice","id":"next"}`) // its answer comes after an error
	got, err := from.read()
	if err != nil {
		b.t.Fatalf("%s: %v", from.name, err)
	}
	if got["type"] == "ice" {
		b.accepted++
		return true
	}
	if got["code"] != "busy" || got["retryAfter"] != 1.0 || got["name"] != "user1" || got["call"] != call {
		b.t.Fatalf("%s: got %v, want busy about user1 and %s", from.name, got, call)
	}
	from.want(`{"type":"ice"}`)
	return false
}

// offer pushes an offer of so many KB.
func (b *backlog) offer(from *client, size int) bool {
	b.t.Helper()
	_, quoted := sdpOf(strings.Repeat("x", size<<10))
	return b.push(from, "offer", protocol.NewCallID(), `,"offer":{"type":"offer","sdp":`+quoted+`}`)
}

// wantAll reads what was accepted, and checks that it is whole, and that the receiver stays.
func (b *backlog) wantAll() {
	b.t.Helper()
	for i := range b.accepted {
		b.receiver.want(fmt.Sprintf(`{"seq":%d}`, i+2))
	}
	b.receiver.wantAlive()
}

// TestBacklogOfOneSender: a sender that fills what waits for a receiver is refused. The receiver is
// not closed, other senders still reach it, and so does that sender's leave.
func TestBacklogOfOneSender(t *testing.T) {
	b := newBacklog(newNarrowServer(t, &Config{Rates: unbounded}))
	flooder, other := b.join("user2"), b.join("user3")
	for b.offer(flooder, 60) { // until sockets and queue are full
	}
	if !b.push(flooder, "leave", protocol.NewCallID(), "") {
		t.Error("there is no room for a leave behind its sender's offers")
	}
	if !b.offer(other, 20) {
		t.Error("there is no room for another sender's offer")
	}
	b.wantAll()
	if !b.offer(flooder, 60) {
		t.Error("an offer is refused although nothing waits any more")
	}
}

// TestBacklogOfManySenders: senders that collude share what there is, and leave room for the next.
func TestBacklogOfManySenders(t *testing.T) {
	const senders = 5
	b := newBacklog(newNarrowServer(t, &Config{Rates: unbounded}))
	var all []*client
	for i := range senders {
		all = append(all, b.join(fmt.Sprintf("user%d", 10+i)))
	}
	for b.offer(all[0], 60) {
	}
	for _, c := range all {
		for b.offer(c, 5) {
		}
		for b.push(c, "ringing", protocol.NewCallID(), "") {
		}
	}
	if !b.push(b.join("user2"), "ringing", protocol.NewCallID(), "") {
		t.Error("there is no room for one more sender's message")
	}
	if got, limit := b.queued("user1"), b.cfg.MaxQueue; got > limit {
		t.Errorf("%d bytes wait, limit %d", got, limit)
	}
	b.wantAll()
}

// TestBacklogOfLeaves: senders cannot make the server close a receiver by the messages that it sends
// on their behalf, and each call of which the receiver hears ends for it.
func TestBacklogOfLeaves(t *testing.T) {
	const senders, rounds = maxCalls/maxCallsPerParty - 1, 100
	b := newBacklog(newNarrowServer(t, &Config{Rates: unbounded}))
	var all []*client
	for i := range senders {
		all = append(all, b.join(fmt.Sprintf("user%d", 10+i)))
	}
	for b.offer(all[0], 60) {
	}
	for range rounds {
		for _, c := range all {
			for range maxCallsPerParty {
				c.send(`{"type":"ringing","name":"user1","call":"` + protocol.NewCallID() + `"}`)
			}
			c.send(`{"type":"leave","reason":"` + strings.Repeat("x", protocol.MaxReasonLen) + `"}`)
		}
		for _, c := range all {
			c.wantAliveAfterBusy()
		}
	}
	began, rang := map[any]bool{}, 0
	b.receiver.send(`{"type":"ice"}`) // its answer comes last
	for {
		got, err := b.receiver.read()
		if err != nil {
			t.Fatalf("user1: %v", err)
		}
		switch got["type"] {
		case "ringing":
			began[got["call"]] = true
			rang++
		case "leave":
			delete(began, got["call"])
		case "ice":
			if len(began) > 0 {
				t.Errorf("%d of %d calls have no end", len(began), rang)
			}
			return
		}
	}
}

// wantAliveAfterBusy asks something that is always answered, and skips refusals.
func (c *client) wantAliveAfterBusy() {
	c.t.Helper()
	c.send(`{"type":"ice","id":"alive"}`)
	for {
		got, err := c.read()
		if err != nil || got["type"] == "error" && got["code"] != "busy" {
			c.t.Fatalf("%s: got %v, %v, want ice", c.name, got, err)
		}
		if got["type"] == "ice" {
			return
		}
	}
}

// TestNeverReads: 20 offers at the default rates do not close a receiver that does not read. Time does.
func TestNeverReads(t *testing.T) {
	bubble(t, func(ts *testServer) {
		b := newBacklog(ts)
		sender := b.join("user2")
		for range 20 {
			b.offer(sender, 60)
		}
		if b.accepted == 20 {
			t.Error("20 offers of 60 KB were accepted")
		}
		receiver := ts.hub.find("user1").conn
		if receiver.isClosing() {
			t.Error("a receiver is closed because of what others send")
		}
		time.Sleep(protocol.PingInterval + protocol.PongTimeout)
		if code := receiver.abandon(); code != protocol.ClosePingTimeout {
			t.Errorf("a receiver that does not read was closed with %v, want %v", code, protocol.ClosePingTimeout)
		}
	})
}

// TestOwnBacklog: a client that keeps asking and does not read the answers is closed.
func TestOwnBacklog(t *testing.T) {
	bubbleWith(t, &Config{Rates: unbounded}, func(ts *testServer) {
		c := ts.join("user1")
		for range 10_000 {
			c.send(`{"type":"ice"}`)
		}
		ts.stop()
		if n := ts.Stats().Closed[protocol.CloseSlowConsumer]; n != 1 {
			t.Errorf("%d connections closed as slow consumers, want 1", n)
		}
	})
}

// TestCallsForgotten: calls that a session has not answered make room first.
func TestCallsForgotten(t *testing.T) {
	var cs calls
	cs.said("alice", "1")
	cs.touch("bob", "1")
	cs.said("bob", "2")
	for i := range 2 * maxCalls {
		cs.touch(fmt.Sprint("stranger", i), "1")
	}
	for i := range 2 * maxCallsPerParty {
		cs.touch("bob", fmt.Sprint("again", i))
	}
	if len(cs) > maxCalls || cs.index("alice", "1") < 0 || cs.index("bob", "2") < 0 || cs.index("bob", "1") >= 0 {
		t.Errorf("got %v, want at most %d calls, and the answered ones", cs, maxCalls)
	}
	for cs.said("bob", "3"); len(cs) > 0; {
		if party, id := cs[0].party, cs[0].id; !cs.forget(party, id) || cs.forget(party, id) {
			t.Fatalf("call %s with %s is not forgotten once", id, party)
		}
	}
}

// TestTooLargeNamesItsMessage: who watches a message by its id hears that it was too large.
func TestTooLargeNamesItsMessage(t *testing.T) {
	c := newTestServer(t, nil).join("user1")
	_, quoted := sdpOf(strings.Repeat("x", protocol.MaxFrame))
	c.send(`{"type":"offer","id":"7","name":"user2","offer":{"type":"offer","sdp":` + quoted + `}}`)
	c.want(`{"type":"error","code":"too_large","ref":"7"}`)
	c.wantAlive()
}
