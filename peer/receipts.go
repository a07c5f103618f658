package peer

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	receiptDelay = 50 * time.Millisecond // from the first text taken to the receipt
	receiptTexts = 32                    // or after so many
)

// counts numbers the texts of a call, each direction by itself, over all links
// that the call may have.
type counts struct {
	mu    sync.Mutex
	sent  uint64        // ours
	acked uint64        // of ours, taken by the other side
	taken uint64        // theirs, taken by Recv
	moved chan struct{} // closed, and made anew, when acked grows
}

func newCounts() counts { return counts{moved: make(chan struct{})} }

func (n *counts) add(delta int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent += uint64(delta)
}

func (n *counts) receivedNow() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.taken
}

func (n *counts) take() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.taken++
}

// acknowledge takes a receipt: it can neither go back nor beyond what was sent.
func (n *counts) acknowledge(upTo uint64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if upTo > n.sent || upTo < n.acked {
		return fmt.Errorf("%w: receipt for text %d, after %d of %d", ErrProtocol, upTo, n.acked, n.sent)
	}
	n.acked = upTo
	close(n.moved)
	n.moved = make(chan struct{})
	return nil
}

// pending returns nil if everything sent is acknowledged, else what is closed when
// that may have changed.
func (n *counts) pending() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.acked == n.sent {
		return nil
	}
	return n.moved
}

// say queues a control message. There are fewer than the queue holds.
func (l *link) say(m controlMessage) {
	select {
	case l.controlOut <- m:
	default:
	}
}

// writeControl writes our control messages and the receipts for what Recv takes.
// It ends with a hang-up.
func (l *link) writeControl() {
	defer close(l.controlDone)
	var receipted uint64
	delay := time.NewTimer(receiptDelay)
	delay.Stop()
	defer delay.Stop()
	armed := false
	for {
		var messages []controlMessage
		due := false
		select {
		case m := <-l.controlOut:
			_, due = m.(hangup)
			messages = append(messages, m)
		case <-delay.C:
			armed, due = false, true
		case <-l.took:
			due = l.call.counts.receivedNow() >= receipted+receiptTexts
			if !due && !armed {
				delay.Reset(receiptDelay)
				armed = true
			}
		case <-l.ctx.Done():
			return
		}
		if n := l.call.counts.receivedNow(); due && n > receipted {
			receipted = n
			messages = append([]controlMessage{received{n}}, messages...)
		}
		for _, m := range messages {
			if l.control.write(l.ctx, encodeControl(m), true) != nil {
				return
			}
			if _, last := m.(hangup); last {
				l.drainControl()
				return
			}
		}
	}
}

func (l *link) drainControl() {
	ctx, cancel := context.WithTimeout(l.ctx, goodbyeWithin)
	defer cancel()
	l.control.drain(ctx)
}

// readControl reads the other side's control messages, to the last one that it sent
// before it closed the channel or the connection.
func (l *link) readControl() {
	buf := make([]byte, maxControl)
	for {
		n, _, err := l.control.raw.ReadDataChannel(buf)
		if err == io.ErrShortBuffer {
			err = fmt.Errorf("%w: control message of more than %d bytes", ErrProtocol, maxControl)
			l.call.fail("read control", err)
			return
		}
		if err != nil {
			l.postWait(l.controlRead)
			return
		}
		m, err := decodeControl(buf[:n])
		if err == nil {
			err = l.takeControl(m)
		}
		if err != nil {
			l.postWait(func() { l.badControl(err) })
		}
	}
}

func (l *link) takeControl(m controlMessage) error {
	switch m := m.(type) {
	case hello:
		if err := l.call.counts.acknowledge(m.Received); err != nil {
			return err
		}
		l.postWait(l.greet)
	case received:
		return l.call.counts.acknowledge(m.N)
	case hangup:
		l.postWait(func() { l.call.stop(ending{err: departure(m.Reason)}) })
	}
	return nil
}

// greet takes the other's hello.
func (l *link) greet() {
	l.greeted = true
	l.settle()
}

// badControl ends the call, unless a plain page takes our control channel for the
// chat.
func (l *link) badControl(err error) {
	if !l.call.plain {
		l.call.fail("read control", err)
	}
}
