package turnload

import (
	"net/netip"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wire is the UDP sockets of a run. One thread receives for all of them, many packets at a time, beside Go's own
// poller, which would wake for every packet: that time is the server's if both share a machine.
//
// Packets leave one by one, as they do on a network, although many may be handed over in one call: were they one
// large datagram (UDP_SEGMENT), a server could take them as one. Nor are they received as one (UDP_GRO): cutting what
// the server sent in one piece is left to its side, where the network card or the kernel does it. With offload both
// are done.
type wire struct {
	coalesce time.Duration
	offload  bool
	epoll    int
	stop     int // an event descriptor
	done     chan struct{}
	outgoing sync.Pool

	mu      sync.Mutex
	sockets []*socket // guarded by mu
}

// socket is closed with its wire.
type socket struct {
	wire   *wire
	fd     int
	local  netip.AddrPort
	handle func([]byte)
}

// newWire makes a wire that reads what has come, and then waits for a while before it looks again.
func newWire(coalesce time.Duration, offload bool) (*wire, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create", err)
	}
	w := &wire{coalesce: coalesce, offload: offload, epoll: epoll, done: make(chan struct{})}
	if w.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(epoll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	if err := w.watch(w.stop, stopped); err != nil {
		unix.Close(epoll)
		unix.Close(w.stop)
		return nil, err
	}
	go w.serve()
	return w, nil
}

// stopped is what epoll says for the end, in place of a socket's index.
const stopped = -1

func (w *wire) watch(fd int, index int32) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: index}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &event))
}

// close ends the receiving and closes all sockets.
func (w *wire) close() {
	_, _ = unix.Write(w.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // an event descriptor takes it
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sockets {
		unix.Close(s.fd)
	}
	unix.Close(w.epoll)
	unix.Close(w.stop)
}

// open opens a socket at an address, port 0 for any, and connects it if to is valid. What comes is handed over, and
// valid during the call.
func (w *wire) open(at, to netip.AddrPort, handle func([]byte)) (*socket, error) {
	family := unix.AF_INET
	if at.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{wire: w, fd: fd, handle: handle}
	if err := s.setUp(at, to); err != nil {
		unix.Close(fd)
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.watch(fd, int32(len(w.sockets))); err != nil {
		unix.Close(fd)
		return nil, err
	}
	w.sockets = append(w.sockets, s)
	return s, nil
}

func (s *socket) setUp(at, to netip.AddrPort) error {
	for _, way := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, way, socketBuffer); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if s.wire.offload {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_UDP, unix.UDP_GRO, 1); err != nil {
			return os.NewSyscallError("setsockopt UDP_GRO", err)
		}
	}
	if err := unix.Bind(s.fd, sockaddr(at)); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if to.IsValid() {
		if err := unix.Connect(s.fd, sockaddr(to)); err != nil {
			return os.NewSyscallError("connect", err)
		}
	}
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		s.local = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		s.local = netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return nil
}

// overruns is how many packets the sockets had no room for, because they were not read in time.
func (w *wire) overruns() (n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sockets {
		var info [unix.SK_MEMINFO_VARS]uint32
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno == 0 {
			n += uint64(info[unix.SK_MEMINFO_DROPS])
		}
	}
	return n
}

func sockaddr(at netip.AddrPort) unix.Sockaddr {
	if at.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}
	}
	return &unix.SockaddrInet6{Addr: at.Addr().As16(), Port: int(at.Port())}
}

// serve is the thread that receives.
func (w *wire) serve() {
	defer close(w.done)
	pace := newPacer()
	defer pace.close()
	in := newIncoming(w.offload)
	events := make([]unix.EpollEvent, 2*receiveBatch)
	for {
		n, err := unix.EpollWait(w.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return
		}
		for _, event := range events[:max(n, 0)] {
			if event.Fd == stopped {
				return
			}
			w.mu.Lock()
			s := w.sockets[event.Fd]
			w.mu.Unlock()
			in.read(s)
		}
		pace.sleep(w.coalesce)
	}
}
