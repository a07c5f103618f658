//go:build !linux

package signal

import "syscall"

// rawIO says that a socket's descriptor can be read and written without waiting.
const rawIO = false

func readFD(uintptr, []byte) (int, error)  { return -1, syscall.EINVAL }
func writeFD(uintptr, []byte) (int, error) { return -1, syscall.EINVAL }
