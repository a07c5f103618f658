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
	r.LostPercent, r.Overruns, r.CPUPerPacket, r.SendError = 0, p.overruns, 0, ""
	if p.sent > 0 {
		r.LostPercent = 100 * float64(p.lost()) / float64(p.sent)
	}
	if relayed := p.relayed(); relayed > 0 {
		r.CPUPerPacket = micros(cpu) / float64(relayed)
	}
	if p.sendError != nil {
		r.SendError = p.sendError.Error()
	}
	r.Latency = p.latency.percentiles()
}
