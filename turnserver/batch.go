package turnserver

import (
	"time"

	"github.com/sigctl/sigctl/pkg/udp"
)

// batch is what messages share that one goroutine handles together: time and policy are read once, what they cause leaves
// at once, and is counted once.
type batch struct {
	listener *listener // theirs; drops are counted there
	queue    *udp.Queue

	// from begin to end
	policy             *policy
	now                time.Duration // see bandwidth
	toPeers, fromPeers tally
}

func newBatch(l *listener) *batch { return &batch{listener: l, queue: udp.NewQueue()} }

func (b *batch) begin() {
	b.policy = b.listener.server.policy.Load()
	b.now = b.listener.server.allocations.bandwidth.now()
}

// end sends what is queued. Messages must stay as they are until then.
func (b *batch) end() {
	b.flush()
	b.toPeers.settle()
	b.fromPeers.settle()
}

func (b *batch) flush() {
	if dropped := b.queue.Flush(); dropped > 0 {
		b.listener.counters.dropped[dropQueue].Add(uint64(dropped))
	}
}

// take counts n bytes against the bounds of a user and of all, and reports whether they are within. A goroutine may have
// been stopped since it read the time, and others have taken more since: then it looks at the clock again.
func (b *batch) take(u *usage, n int) bool {
	if u.take(b.now, n) {
		return true
	}
	b.now = b.listener.server.allocations.bandwidth.now()
	return u.take(b.now, n)
}

func (b *batch) drop(why dropReason) { b.listener.counters.drop(why) }

// tally is traffic that has not been counted yet.
type tally struct {
	on             *traffic
	packets, bytes int
}

func (t *tally) add(on *traffic, bytes int) {
	if t.on != on {
		t.settle()
		t.on = on
	}
	t.packets++
	t.bytes += bytes
}

func (t *tally) settle() {
	if t.packets > 0 {
		t.on.add(t.packets, t.bytes)
	}
	*t = tally{}
}
