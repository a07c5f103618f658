package hostaddr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openSystem opens both sockets at once: later there may be no descriptor left, and a socket
// belongs to the network namespace of the thread that opens it.
func openSystem() (system, error) {
	dumps, err := openNetlink(0)
	if err != nil {
		return nil, err
	}
	s := &netlink{dumps: dumps}
	news, err := openNetlink(unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR)
	if err != nil { // gVisor and Android announce nothing
		s.waiter = newPoller()
		return s, nil
	}
	s.waiter = &announcements{file: news}
	return s, nil
}

// openNetlink opens an rtnetlink socket that receives the announcements of groups.
func openNetlink(groups uint32) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return nil, errors.Join(os.NewSyscallError("bind", err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// netlink lists addresses over one socket, and waits at another.
type netlink struct {
	waiter
	dumps *os.File
	seq   uint32
	buf   [64 << 10]byte // longer than any message of a dump
}

type waiter interface {
	wait() bool
	close() error
}

func (n *netlink) close() error { return errors.Join(n.waiter.close(), n.dumps.Close()) }

// announcements are the kernel's messages about changes. Only the fact that one came is used.
type announcements struct {
	file *os.File
	buf  [4 << 10]byte
}

// wait returns when an announcement has come, once for all that are there. An overflow (ENOBUFS)
// counts as one.
func (a *announcements) wait() bool {
	conn, err := a.file.SyscallConn()
	if err != nil {
		return false
	}
	err = conn.Read(func(fd uintptr) (done bool) {
		for {
			_, _, err := unix.Recvfrom(int(fd), a.buf[:], unix.MSG_DONTWAIT)
			switch err {
			case unix.EAGAIN:
				return done
			case unix.EINTR:
			default:
				done = true
			}
		}
	})
	return err == nil
}

func (a *announcements) close() error { return a.file.Close() }

// maxDumps bounds how often the list is requested again because it changed while it was read.
const maxDumps = 16

var errInterrupted = errors.New("they changed while they were read")

// list reads a dump of all addresses (rtnetlink(7), RTM_GETADDR).
func (n *netlink) list() (list []Address, err error) {
	for range maxDumps {
		if list, err = n.once(); !errors.Is(err, errInterrupted) {
			break
		}
	}
	return list, err
}

func (n *netlink) once() ([]Address, error) {
	n.seq++
	if _, err := n.dumps.Write(dumpRequest(n.seq)); err != nil {
		return nil, err
	}
	var d dump
	for {
		length, err := n.dumps.Read(n.buf[:])
		if err != nil {
			return nil, err
		}
		messages, err := syscall.ParseNetlinkMessage(n.buf[:length])
		if err != nil {
			return nil, os.NewSyscallError("parse netlink message", err)
		}
		for i := range messages {
			if m := &messages[i]; m.Header.Seq == n.seq { // another one is of a dump that failed
				if done, err := d.add(m); done {
					return d.list, err
				}
			}
		}
	}
}

// dump is a list of addresses while it is read.
type dump struct {
	list        []Address
	interrupted bool // the addresses changed meanwhile
}

// add takes the next message, and reports whether it is the last one.
func (d *dump) add(m *syscall.NetlinkMessage) (done bool, err error) {
	d.interrupted = d.interrupted || m.Header.Flags&unix.NLM_F_DUMP_INTR != 0
	switch m.Header.Type {
	case unix.NLMSG_DONE:
		if d.interrupted {
			return true, errInterrupted
		}
		return true, nil
	case unix.NLMSG_ERROR:
		return true, errorOf(m.Data)
	case unix.RTM_NEWADDR:
		if a, ok := addressOf(m); ok {
			d.list = append(d.list, a)
		}
	}
	return false, nil
}

// dumpRequest asks for the addresses of both families.
func dumpRequest(seq uint32) []byte {
	b := make([]byte, 0, unix.SizeofNlMsghdr+unix.SizeofIfAddrmsg)
	b = binary.NativeEndian.AppendUint32(b, uint32(cap(b)))
	b = binary.NativeEndian.AppendUint16(b, unix.RTM_GETADDR)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = binary.NativeEndian.AppendUint32(b, seq)
	return b[:cap(b)] // the kernel fills in the port; AF_UNSPEC
}

func errorOf(data []byte) error {
	if len(data) < 4 {
		return fmt.Errorf("netlink error of %d bytes", len(data))
	}
	return os.NewSyscallError("list addresses", syscall.Errno(-int32(binary.NativeEndian.Uint32(data))))
}

// addressOf reads a message about an address. On a point-to-point interface IFA_ADDRESS is the
// other machine's address and IFA_LOCAL this one's.
func addressOf(m *syscall.NetlinkMessage) (Address, bool) {
	if len(m.Data) < unix.SizeofIfAddrmsg {
		return Address{}, false
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return Address{}, false
	}
	var ip netip.Addr
	for _, attribute := range attributes {
		is := attribute.Attr.Type
		if is != unix.IFA_LOCAL && (is != unix.IFA_ADDRESS || ip.IsValid()) {
			continue
		}
		if got, ok := netip.AddrFromSlice(attribute.Value); ok {
			ip = got
		}
	}
	bits, flags := int(m.Data[1]), m.Data[2] // struct ifaddrmsg
	a := Address{netip.PrefixFrom(ip, bits), flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 && flags&unix.IFA_F_OPTIMISTIC == 0}
	return a, a.IsValid()
}
