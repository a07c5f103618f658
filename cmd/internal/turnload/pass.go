package turnload

import (
	"context"
	"encoding/binary"
	"math"
	"sync/atomic"
	"time"
)

// A payload begins with a stamp: pass, flow and sequence number in 4 bytes each, the time in 8.
const stampSize = 20

// flow is one sender of packets.
type flow struct {
	frame  []byte // what is sent, with the payload at offset
	offset int
	send   func(frames [][]byte) error
}

// pass is one load at one rate.
type pass struct {
	// set at construction
	number   uint32 // packets of an earlier pass do not count
	size     int
	rate     float64
	duration time.Duration
	sequence uint32 // sequence numbers are below

	seen     [][]uint64 // a bit per packet, by flow; those of a flow are owned by the goroutine that receives it
	received atomic.Uint64
	latency  histogram
	complete chan struct{} // gets one when all that was sent is received
	awaited  atomic.Uint64 // how many were sent; set at the end

	// owned by the sender
	overruns  uint64 // packets that came, and were not read in time
	sent      uint64
	elapsed   time.Duration
	sendError error
}

func (b *bench) newPass(rate float64, d time.Duration) *pass {
	b.passes++
	bursts := math.Ceil(rate * d.Seconds() / float64(b.cfg.Burst))
	perFlow := math.Ceil(bursts/float64(len(b.flows))) * float64(b.cfg.Burst)
	return &pass{
		number: b.passes, size: b.cfg.Size, rate: rate, duration: d, sequence: uint32(min(perFlow, math.MaxUint32)),
		seen: make([][]uint64, len(b.flows)), complete: make(chan struct{}, 1),
	}
}

// run sends for the pass's duration, waits for what is on its way, and returns when all came or nothing comes any
// more.
func (b *bench) run(ctx context.Context, p *pass) error {
	b.current.Store(p)
	before := b.wire.overruns()
	defer func() { p.overruns = b.wire.overruns() - before }()
	if err := b.send(ctx, p); err != nil {
		return err
	}
	p.awaited.Store(p.sent)
	p.checkComplete(p.received.Load())
	return p.drain(ctx, b.quiet)
}

// maxLag is how far the sender may be behind: then what it has missed stays unsent, and the rate is not reached. If it
// was stopped all at once, the machine had other work, and that time does not count.
const maxLag = 10 * time.Millisecond

const (
	// shortestSleep is worth the way into the kernel. What falls due meanwhile is a little late.
	shortestSleep = 20 * time.Microsecond

	// longestSleep bounds how late an interrupt is noticed.
	longestSleep = 10 * time.Millisecond

	// longestRun is how long the sender may keep a core before it lets who receives have it.
	longestRun = 500 * time.Microsecond
)

// send sends the bursts of all flows in turn, evenly spread over time. A packet that the system does not take is one
// that is lost.
func (b *bench) send(ctx context.Context, p *pass) error {
	pace := newPacer()
	defer pace.close()
	frames := make([][]byte, b.cfg.Burst)
	for i := range frames {
		frames[i] = make([]byte, maxFrame)
	}
	interval := float64(b.cfg.Burst) / p.rate * float64(time.Second)
	bursts := int(p.duration.Seconds() * p.rate / float64(b.cfg.Burst))
	begin := time.Now()
	start, last, slept, stopped := begin, begin, begin, time.Duration(0)
	defer func() { p.elapsed = time.Since(begin) - stopped }()
	for n := range bursts {
		due := start.Add(time.Duration(float64(n) * interval))
		now := time.Now()
		for due.After(now) || now.Sub(slept) > longestRun {
			pace.sleep(min(max(due.Sub(now), shortestSleep), longestSleep))
			if ctx.Err() != nil {
				return ctx.Err()
			}
			now = time.Now()
			slept = now
		}
		if lag := now.Sub(due); lag > maxLag {
			start = start.Add(lag)
			if now.Sub(last) > maxLag {
				stopped += lag
			}
		}
		last = now
		if now.Sub(begin)-stopped > 2*p.duration {
			return nil
		}
		b.burst(p, n, frames, now)
	}
	return nil
}

// burst sends the n-th burst of a pass.
func (b *bench) burst(p *pass, n int, frames [][]byte, now time.Time) {
	id := n % len(b.flows)
	f := b.flows[id]
	first := uint32(n / len(b.flows) * len(frames))
	for i := range frames {
		frames[i] = frames[i][:copy(frames[i][:maxFrame], f.frame)]
		stamp := frames[i][f.offset:]
		binary.BigEndian.PutUint32(stamp, p.number)
		binary.BigEndian.PutUint32(stamp[4:], uint32(id))
		binary.BigEndian.PutUint32(stamp[8:], first+uint32(i))
		binary.BigEndian.PutUint64(stamp[12:], uint64(now.Sub(b.epoch)))
	}
	p.sent += uint64(len(frames))
	if err := f.send(frames); err != nil && p.sendError == nil {
		p.sendError = err
	}
}

// receive counts a payload that has come.
func (b *bench) receive(payload []byte) {
	p := b.current.Load()
	if p == nil || len(payload) != p.size || binary.BigEndian.Uint32(payload) != p.number {
		return
	}
	id, sequence := binary.BigEndian.Uint32(payload[4:]), binary.BigEndian.Uint32(payload[8:])
	if int(id) >= len(p.seen) || sequence >= p.sequence || !p.first(id, sequence) {
		return
	}
	p.latency.add(time.Since(b.epoch) - time.Duration(binary.BigEndian.Uint64(payload[12:])))
	p.checkComplete(p.received.Add(1))
}

// first reports whether a packet has not been there before: a duplicate must not hide a loss.
func (p *pass) first(id, sequence uint32) bool {
	if p.seen[id] == nil {
		p.seen[id] = make([]uint64, p.sequence/64+1)
	}
	word, bit := &p.seen[id][sequence/64], uint64(1)<<(sequence%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

func (p *pass) checkComplete(received uint64) {
	if received == p.awaited.Load() {
		select {
		case p.complete <- struct{}{}:
		default:
		}
	}
}

const (
	defaultQuiet = 250 * time.Millisecond
	maxDrain     = 3 * time.Second // and one time quiet
)

// drain waits for what is on its way.
func (p *pass) drain(ctx context.Context, quiet time.Duration) error {
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	for deadline := time.Now().Add(maxDrain); time.Now().Before(deadline); {
		before := p.received.Load()
		select {
		case <-p.complete:
			if p.received.Load() == p.sent {
				return nil
			}
		case <-tick.C:
			if p.received.Load() == before {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// relayed is what the server has sent on, read in time or not.
func (p *pass) relayed() uint64 { return min(p.received.Load()+p.overruns, p.sent) }

func (p *pass) lost() uint64 { return p.sent - p.relayed() }

func (p *pass) reached() float64 {
	if p.elapsed <= 0 {
		return 0
	}
	return float64(p.sent) / p.elapsed.Seconds()
}
