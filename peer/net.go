package peer

import (
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"
)

// socketBuffer is asked for on every UDP socket, in bytes and each way. The
// system's default overflows within a few milliseconds of a fast data channel, and
// SCTP then stalls.
const socketBuffer = 4 << 20

// interfacesFresh is how long a list of interfaces holds: a peer that takes many
// calls spends a tenth of each on asking the kernel otherwise.
const interfacesFresh = 2 * time.Second

// network is what a client's calls are connected over.
type network struct {
	base     transport.Net // nil is the system's
	loopback bool          // offer loopback addresses too
	granted  grantedBuffers

	mu      sync.Mutex
	current *callNet
	listed  time.Time
}

// callNet is the network as it was when a call began: UDP sockets with large
// buffers, on the addresses that are worth a candidate.
type callNet struct {
	transport.Net
	granted    *grantedBuffers
	interfaces []*transport.Interface
}

// now returns the network as it is. Loopback addresses are part of it if asked
// for, or if there are no others.
func (n *network) now() (*callNet, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current != nil && time.Since(n.listed) < interfacesFresh {
		return n.current, nil
	}
	base := n.base
	if base == nil {
		std, err := stdnet.NewNet()
		if err != nil {
			return nil, fmt.Errorf("list network interfaces: %w", err)
		}
		base = std
	}
	all, err := base.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	usable := usableInterfaces(all, n.loopback)
	if len(usable) == 0 {
		usable = usableInterfaces(all, true)
	}
	n.current, n.listed = &callNet{base, &n.granted, usable}, time.Now()
	return n.current, nil
}

// usableInterfaces leaves out what is down, and IPv6 link-local addresses: pion
// opens a socket for each and tells nobody (RFC 8445, section 5.1.1.1).
func usableInterfaces(all []*transport.Interface, loopback bool) (usable []*transport.Interface) {
	for _, ifc := range all {
		addrs, err := ifc.Addrs()
		if err != nil || ifc.Flags&net.FlagUp == 0 || ifc.Flags&net.FlagLoopback != 0 && !loopback {
			continue
		}
		kept := transport.NewInterface(ifc.Interface)
		for _, addr := range addrs {
			if ip, ok := addr.(*net.IPNet); ok && !ip.IP.IsLinkLocalUnicast() || ok && ip.IP.To4() != nil {
				kept.AddAddress(addr)
			}
		}
		if got, err := kept.Addrs(); err == nil && len(got) > 0 {
			usable = append(usable, kept)
		}
	}
	return usable
}

// Interfaces returns the interfaces that candidates are gathered on.
func (n *callNet) Interfaces() ([]*transport.Interface, error) { return n.interfaces, nil }

// ListenUDP opens the sockets of host and server-reflexive candidates.
func (n *callNet) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := n.Net.ListenUDP(network, addr)
	if err == nil {
		n.granted.enlarge(conn)
	}
	return conn, err
}

// grantedBuffers remembers what the kernel gave the first socket; it limits all
// alike, by net.core.rmem_max and wmem_max on Linux.
type grantedBuffers struct {
	log *slog.Logger

	once        sync.Once
	mu          sync.Mutex
	read, write int // bytes; 0 is not known
}

func (g *grantedBuffers) enlarge(conn any) {
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return
	}
	// A refusal shows in what is granted.
	udp.SetReadBuffer(socketBuffer)
	udp.SetWriteBuffer(socketBuffer)
	g.once.Do(func() {
		read, write := socketBuffers(udp)
		g.mu.Lock()
		g.read, g.write = read, write
		g.mu.Unlock()
		g.log.Info("UDP socket buffers", "asked", socketBuffer, "read", read, "write", write)
	})
}

func (g *grantedBuffers) get() (read, write int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.read, g.write
}
