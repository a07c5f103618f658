//go:build !linux

package turnload

import "time"

// pacer waits for points in time, as exactly as the system's timers are.
type pacer struct{}

func newPacer() pacer               { return pacer{} }
func (pacer) close()                {}
func (pacer) sleep(d time.Duration) { time.Sleep(d) }
