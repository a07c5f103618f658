package limit

import (
	"net/netip"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// knownGroups is how many address groups a Known remembers, about 2 MB of them.
const knownGroups = 1 << 14

// Known remembers the address groups (see Group) from which clients have proved who they are.
// Beyond 16384 groups it forgets the one that was added or renewed least recently. A nil *Known
// remembers none. It is safe for concurrent use.
type Known struct {
	mu     sync.Mutex
	groups *simplelru.LRU[netip.Prefix, struct{}]
}

// NewKnown returns a Known that remembers no group yet.
func NewKnown() *Known {
	groups, _ := simplelru.NewLRU[netip.Prefix, struct{}](knownGroups, nil) // the size is positive
	return &Known{groups: groups}
}

// Add remembers the group of addr, if addr is valid.
func (k *Known) Add(addr netip.Addr) {
	if k == nil || !addr.IsValid() {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.groups.Add(Group(addr), struct{}{})
}

func (k *Known) has(addr netip.Addr) bool {
	if k == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.groups.Contains(Group(addr))
}
