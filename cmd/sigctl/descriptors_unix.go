//go:build unix

package main

import (
	"math"
	"syscall"
)

// descriptors returns how many this process may have, 0 if that is not known. It asks for the soft
// limit, which Go raises to the hard one when a process starts.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(uint64(limit.Cur), math.MaxInt32))
}
