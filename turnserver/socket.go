package turnserver

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
)

const (
	// socketBuffer is what we ask the kernel for, per direction. It grants at most net.core.rmem_max and wmem_max.
	socketBuffer = 4 << 20

	// maxReadErrors in a row end a reader: a UDP socket that fails again and again does not recover.
	maxReadErrors = 100

	// maxBindTries bounds the work for one relayed port when other programs hold most of the range.
	maxBindTries = 64

	// maxPortTries is how often a free port is looked for that all addresses of a wildcard can have.
	maxPortTries = 16
)

var errNoPort = errors.New("no relay port is free")

// bind opens a UDP socket at an IPv4 address.
func bind(at netip.AddrPort) (*net.UDPConn, error) {
	socket, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	// Errors are no reason to stop: the buffers are then as big as the kernel likes them.
	_ = socket.SetReadBuffer(socketBuffer)
	_ = socket.SetWriteBuffer(socketBuffer)
	return socket, nil
}

// readPacket reads one packet. Its error is final: the socket is closed, at its deadline, or does not recover.
func readPacket(socket *net.UDPConn, p []byte) (int, netip.AddrPort, error) {
	for failed := 1; ; failed++ {
		n, from, err := socket.ReadFromUDPAddrPort(p)
		final := errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) || failed == maxReadErrors
		if err == nil || final {
			return n, unmap(from), err
		}
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// localAddr is where a socket is bound.
func localAddr(socket *net.UDPConn) netip.AddrPort {
	return unmap(socket.LocalAddr().(*net.UDPAddr).AddrPort())
}

// bindListeners opens all addresses or none, and says what is wrong with each, naming it once.
func bindListeners(addresses []string, host []netip.Prefix) ([]*net.UDPConn, error) {
	var sockets []*net.UDPConn
	var faults []error
	for _, address := range addresses {
		opened, err := bindListener(address, host)
		if err != nil {
			faults = append(faults, err)
		}
		sockets = append(sockets, opened...)
	}
	if len(faults) != 0 {
		closeAll(sockets)
		return nil, errors.Join(faults...)
	}
	return sockets, nil
}

func closeAll(sockets []*net.UDPConn) {
	for _, socket := range sockets {
		socket.Close()
	}
}

// bindListener opens the sockets of one "host:port": one at each address of this machine if the host is a wildcard.
func bindListener(address string, host []netip.Prefix) ([]*net.UDPConn, error) {
	resolved, err := net.ResolveUDPAddr("udp4", address)
	if malformed := (*net.AddrError)(nil); errors.As(err, &malformed) {
		err = errors.New(malformed.Err) // without the address
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w (IPv4 only, for now)", address, err)
	}
	at := unmap(resolved.AddrPort())
	ips := []netip.Addr{at.Addr()}
	if resolved.IP == nil || resolved.IP.IsUnspecified() {
		ips = addressesOf(host)
	}
	if len(ips) == 0 {
		return nil, fmt.Errorf("listen on %q: this machine has no IPv4 address", address)
	}
	for range maxPortTries {
		var sockets []*net.UDPConn
		if sockets, err = bindEach(ips, at.Port()); err == nil || at.Port() != 0 {
			return sockets, err
		}
	}
	return nil, err
}

// bindEach opens one port at all ips, or none. Port 0 is the one that the kernel gives to the first.
func bindEach(ips []netip.Addr, port uint16) ([]*net.UDPConn, error) {
	var sockets []*net.UDPConn
	for _, ip := range ips {
		socket, err := bind(netip.AddrPortFrom(ip, port))
		if err != nil {
			closeAll(sockets)
			return nil, err
		}
		sockets = append(sockets, socket)
		port = localAddr(socket).Port()
	}
	return sockets, nil
}

// hostNets returns the IPv4 networks of this machine, each as its own address there with the network's length.
func hostNets() ([]netip.Prefix, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list this machine's addresses: %w", err)
	}
	var nets []netip.Prefix
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && prefix.Addr().Is4() {
			nets = append(nets, prefix)
		}
	}
	return nets, nil
}

// addressesOf returns each address once: several interfaces may share one.
func addressesOf(nets []netip.Prefix) []netip.Addr {
	var ips []netip.Addr
	for _, prefix := range nets {
		if !slices.Contains(ips, prefix.Addr()) {
			ips = append(ips, prefix.Addr())
		}
	}
	return ips
}

// bindRelay opens a socket at ip on an unpredictable port of the range (RFC 8656 section 7.2), or on the wanted
// one if that is not 0. Ports that are taken, by the account of the caller, are not tried.
func bindRelay(ip netip.Addr, lowest, highest, wanted uint16, taken func(netip.AddrPort) bool) (*net.UDPConn, error) {
	if wanted != 0 {
		lowest, highest = wanted, wanted
	}
	ports := int(highest) - int(lowest) + 1
	start, err := rand.Int(rand.Reader, big.NewInt(int64(ports)))
	if err != nil {
		return nil, err
	}
	err = errNoPort
	tries := 0
	for i := 0; i < ports && tries < maxBindTries; i++ {
		at := netip.AddrPortFrom(ip, lowest+uint16((int(start.Int64())+i)%ports))
		if taken(at) {
			continue
		}
		socket, failed := bind(at)
		if failed == nil {
			return socket, nil
		}
		err = fmt.Errorf("%w: %w", errNoPort, failed)
		tries++
	}
	return nil, err
}
