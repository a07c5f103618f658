package udp

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setOptions is called before the socket is bound.
func setOptions(c syscall.RawConn, o *Options) error {
	var err error
	if controlErr := c.Control(func(fd uintptr) {
		// The net package permits broadcast; what forwards for strangers must not reach a whole network.
		if err = setOption(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 0); err == nil && o.ReusePort {
			err = setOption(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}
	}); controlErr != nil {
		return controlErr
	}
	return err
}

func setOption(fd uintptr, level, name, value int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), level, name, value))
}

// recvmmsg and sendmmsg do not tell the scheduler of the system call: they do not block, and being told costs more
// than a short call itself when it wakes the runtime's monitor thread.

func recvmmsg(fd uintptr, msgs []unix.Mmsghdr) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(msgs))),
		uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// sendmmsg sends one message of one piece by sendto, which costs a tenth less.
func sendmmsg(fd uintptr, msgs []unix.Mmsghdr) (int, syscall.Errno) {
	if h := &msgs[0].Hdr; len(msgs) == 1 && h.Iovlen == 1 && h.Controllen == 0 {
		_, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(h.Iov.Base)), uintptr(h.Iov.Len),
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(h.Name)), uintptr(h.Namelen))
		return 1, errno
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(msgs))),
		uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// port converts a port between a socket address, which has it in network order, and a number.
func port(p uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&p))
	return uint16(b[0])<<8 | uint16(b[1])
}

// pause stops the thread. The scheduler is not told, as its own timers do not measure so little, so goroutines that could run on this
// core wait, as they would for a batch.
func pause(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_, _, _ = syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
}
