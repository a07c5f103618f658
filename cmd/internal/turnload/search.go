package turnload

import (
	"context"
	"fmt"
	"time"
)

const (
	// lossFree is the part of the packets that may be missing: one in ten thousand, where a busy machine has nothing
	// to do with the server.
	lossFree = 1e-4

	// keptUp is the part of the rate that must have been sent for a pass to count.
	keptUp = 0.97

	// precision is where a search ends: between a rate without loss and one with, as a ratio.
	precision = 1.04

	slowest = 100 // packets/s
	maxStep = 500 * time.Millisecond

	// chances are how often a rate is tried: what is lost once or twice may be this machine's doing.
	chances = 3
)

// search measures at the highest rate without loss.
func (b *bench) search(ctx context.Context) error {
	step := min(b.cfg.Duration, maxStep)
	var limit string
	rate, err := highestRate(b.cfg.Rate, func(rate float64) (bool, error) {
		ok, why, err := b.sustained(ctx, rate, step)
		if why != "" {
			limit = why
		}
		return ok, err
	})
	if err != nil {
		return err
	}
	return b.settle(ctx, rate, limit)
}

// highestRate returns the highest rate that holds: upwards in large steps from start, then between the last two.
func highestRate(start float64, holds func(rate float64) (bool, error)) (float64, error) {
	low, high, rate := 0.0, 0.0, start
	for {
		ok, err := holds(rate)
		if err != nil {
			return 0, err
		}
		if ok {
			low = rate
		} else {
			high = rate
		}
		switch {
		case low == 0 && high <= slowest:
			return slowest, nil
		case low == 0:
			rate = max(rate/2, slowest)
		case low >= MaxRate || high > 0 && high/low <= precision:
			return low, nil
		case high == 0:
			rate = min(rate*1.6, MaxRate)
		default:
			rate = (low + high) / 2
		}
	}
}

// sustained reports whether a rate is without loss, and if not, what limits it.
func (b *bench) sustained(ctx context.Context, rate float64, d time.Duration) (ok bool, limit string, err error) {
	for range chances {
		p, err := b.measured(ctx, rate, d)
		if err != nil {
			return false, "", err
		}
		lost := float64(p.lost()) / float64(max(p.sent, 1))
		b.cfg.Progress(fmt.Sprintf("%.0f packets/s: %.0f sent, %.3f %% lost", rate, p.reached(), 100*lost))
		switch {
		case p.reached() < keptUp*rate:
			limit = LimitLoad
		case lost <= lossFree:
			return true, "", nil
		default:
			limit = LimitLoss
		}
	}
	return false, limit, nil
}

// settle measures at rate for the whole duration, and lower as long as packets are lost.
func (b *bench) settle(ctx context.Context, rate float64, limit string) error {
	const tries = 5
	for range tries {
		b.report.LimitedBy = limit
		ok, why, err := b.sustained(ctx, rate, b.cfg.Duration)
		if err != nil || ok {
			return err
		}
		limit, rate = why, max(rate/precision, slowest)
	}
	return nil
}
