package turnserver

import (
	"net/netip"
	"sync"
)

// maxPermissions bounds the permissions of one allocation: the library keeps as many as a client asks for, hundreds of
// bytes and a timer each. A peer offers some ten addresses.
const maxPermissions = 256

// permissions are the peers for which the library holds a permission of one allocation.
type permissions struct {
	mu    sync.Mutex // the library calls add and remove under locks of its own
	peers map[netip.Addr]struct{}
}

// hasRoom reports whether there may be a permission for ip: there is one, or one more may be.
func (p *permissions) hasRoom(ip netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, refreshed := p.peers[ip]
	return refreshed || len(p.peers) < maxPermissions
}

func (p *permissions) add(ip netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.peers == nil {
		p.peers = make(map[netip.Addr]struct{})
	}
	p.peers[ip] = struct{}{}
}

func (p *permissions) remove(ip netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.peers, ip)
}
