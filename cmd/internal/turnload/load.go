package turnload

import (
	"context"
	"fmt"
	"time"
)

// load measures the server while it is idle, and under load.
func (b *bench) load(ctx context.Context) error {
	if err := b.idle(ctx); err != nil || b.cfg.Duration < 0 {
		return err
	}
	if b.cfg.Warmup > 0 {
		b.cfg.Progress(fmt.Sprintf("warming up for %s", b.cfg.Warmup))
		if err := b.run(ctx, b.newPass(b.cfg.Rate, b.cfg.Warmup)); err != nil {
			return err
		}
	}
	if b.cfg.Search {
		return b.search(ctx)
	}
	b.cfg.Progress(fmt.Sprintf("sending %.0f packets/s for %s", b.cfg.Rate, b.cfg.Duration))
	_, err := b.measured(ctx, b.cfg.Rate, b.cfg.Duration)
	return err
}

// idle measures what the allocations cost while nothing is sent.
func (b *bench) idle(ctx context.Context) error {
	if b.cfg.Idle <= 0 {
		return nil
	}
	b.cfg.Progress(fmt.Sprintf("idle for %s", b.cfg.Idle))
	before, err := b.process.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	timer := time.NewTimer(b.cfg.Idle)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := b.process.cpu()
	if err != nil {
		return err
	}
	b.report.IdleCPUPercent = 100 * (after - before).Seconds() / time.Since(began).Seconds()
	b.report.Memory, err = b.process.memory()
	return err
}

// measured runs a pass and reports it, also when it was interrupted.
func (b *bench) measured(ctx context.Context, rate float64, d time.Duration) (*pass, error) {
	before, err := b.process.cpu()
	if err != nil {
		return nil, err
	}
	p := b.newPass(rate, d)
	runErr := b.run(ctx, p)
	after, err := b.process.cpu()
	if runErr != nil {
		err = runErr
	}
	b.reportPass(p, after-before)
	return p, err
}

func (b *bench) reportPass(p *pass, cpu time.Duration) {
	r := &b.report
	r.Sent, r.Received, r.Rate = p.sent, p.received.Load(), p.reached()
	r.LostPercent, r.CPUPerPacket, r.SendError = 0, 0, ""
	if p.sent > 0 {
		r.LostPercent = 100 * float64(p.lost()) / float64(p.sent)
	}
	if r.Received > 0 {
		r.CPUPerPacket = micros(cpu) / float64(r.Received)
	}
	if p.sendError != nil {
		r.SendError = p.sendError.Error()
	}
	r.Latency = p.latency.percentiles()
}

const (
	// lossFree is the part of the packets that may be missing: one in ten thousand, where a busy machine has nothing
	// to do with the server.
	lossFree = 1e-4

	// keptUp is the part of the rate that must have been sent for a pass to count.
	keptUp = 0.97

	// precision is where a search ends: between a rate without loss and one with, as a ratio.
	precision = 1.04

	maxStep = 500 * time.Millisecond
)

// search looks for the highest rate without loss: upwards in large steps, then between the last two. The rate it ends
// with is measured for the whole duration.
func (b *bench) search(ctx context.Context) error {
	step := min(b.cfg.Duration, maxStep)
	low, high, rate := 0.0, 0.0, b.cfg.Rate
	for low == 0 || high == 0 || high/low > precision {
		ok, err := b.sustained(ctx, rate, step)
		if err != nil {
			return err
		}
		if ok {
			low = rate
		} else {
			high = rate
		}
		switch {
		case low == 0 && high < 100, high == 0 && low >= MaxRate:
			return b.settle(ctx, max(low, high))
		case low == 0:
			rate /= 2
		case high == 0:
			rate = min(rate*1.6, MaxRate)
		default:
			rate = (low + high) / 2
		}
	}
	return b.settle(ctx, low)
}

// sustained reports whether a rate is without loss. What is lost once may be this machine's; what is lost twice is
// the server's.
func (b *bench) sustained(ctx context.Context, rate float64, d time.Duration) (bool, error) {
	for range 2 {
		p, err := b.measured(ctx, rate, d)
		if err != nil {
			return false, err
		}
		lost := float64(p.lost()) / float64(max(p.sent, 1))
		b.cfg.Progress(fmt.Sprintf("%.0f packets/s: %.0f sent, %.3f %% lost", rate, p.reached(), 100*lost))
		switch {
		case p.reached() < keptUp*rate:
			b.report.LimitedBy = LimitLoad
		case lost <= lossFree:
			return true, nil
		default:
			b.report.LimitedBy = LimitLoss
		}
	}
	return false, nil
}

// settle measures at rate for the whole duration, and lower as long as packets are lost.
func (b *bench) settle(ctx context.Context, rate float64) error {
	const tries = 5
	limited := b.report.LimitedBy
	for range tries {
		ok, err := b.sustained(ctx, rate, b.cfg.Duration)
		if err != nil || ok {
			b.report.LimitedBy = limited
			return err
		}
		rate /= precision
	}
	return nil
}
