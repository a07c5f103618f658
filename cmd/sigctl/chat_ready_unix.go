//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// canTellReady reports whether readReady knows.
const canTellReady = true

// readReady reports whether a Read of f returns without a wait.
func readReady(f *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if err != unix.EINTR {
			return n > 0 && err == nil
		}
	}
}
