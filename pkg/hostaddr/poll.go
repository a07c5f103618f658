package hostaddr

import (
	"sync"
	"time"
)

// poller waits PollInterval each time.
type poller struct {
	ticker *time.Ticker
	closed chan struct{}
	once   sync.Once
}

func newPoller() *poller {
	return &poller{ticker: time.NewTicker(PollInterval), closed: make(chan struct{})}
}

func (p *poller) wait() bool {
	select {
	case <-p.ticker.C:
		return true
	case <-p.closed:
		return false
	}
}

func (p *poller) close() error {
	p.once.Do(func() { close(p.closed) })
	p.ticker.Stop()
	return nil
}
