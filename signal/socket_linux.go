package signal

import (
	"syscall"
	"unsafe"
)

// rawIO says that a socket's descriptor can be read and written without waiting.
const rawIO = true

// readFD and writeFD do not tell the scheduler of the system call, as those of
// package syscall do: the descriptor does not block, and being told costs more than
// a short call itself when it wakes the runtime's monitor thread.

func readFD(fd uintptr, p []byte) (n int, err error) { return rawIOCall(syscall.SYS_READ, fd, p) }

func writeFD(fd uintptr, p []byte) (n int, err error) { return rawIOCall(syscall.SYS_WRITE, fd, p) }

func rawIOCall(trap, fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return -1, errno
		}
	}
}
