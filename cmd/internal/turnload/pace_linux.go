package turnload

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pacer waits for points in time that lie microseconds apart. Go's timers are as coarse as a millisecond where a
// program is idle otherwise, so a thread of its own sleeps in the kernel.
type pacer struct{}

func newPacer() pacer {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // ns; without it sleeps are 50 µs longer
	return pacer{}
}

func (pacer) close() {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // the default again
	runtime.UnlockOSThread()
}

func (pacer) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	request := unix.NsecToTimespec(int64(d))
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &request, nil) // interrupted: the caller sleeps again
}
