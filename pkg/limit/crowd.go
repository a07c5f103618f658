package limit

import (
	"container/heap"
	"net/netip"
)

// maxDepth is how deep a slot lies in a tree: below the root the groups of its network operator,
// its network and its address.
const maxDepth = 3

// path is the groups of one address, from the coarsest on.
type path struct {
	groups [maxDepth]netip.Prefix
	depth  int
}

// pathOf returns the path of addr, with a last group of v4Bits for IPv4. An invalid address has one
// group of its own, the zero Prefix.
func pathOf(addr netip.Addr, v4Bits int) path {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return path{depth: 1}
	}
	bits := groupLevels(addr)
	if addr.Is4() && v4Bits < bits[len(bits)-1] {
		bits = bits[:1]
	}
	p := path{depth: len(bits)}
	for i, n := range bits {
		p.groups[i], _ = addr.Prefix(n) // n bits fit the family
	}
	return p
}

// leaf is the finest group.
func (p *path) leaf() netip.Prefix { return p.groups[p.depth-1] }

// tree arranges the slots of one table by the groups of their addresses, so that whoever uses up
// the table can be told from everyone else. All operations take O(log n). Its Pending's lock guards
// it.
type tree struct {
	max    int
	root   group
	groups map[netip.Prefix]*group
	added  uint64 // slots so far
}

func newTree(max int) *tree { return &tree{max: max, groups: map[netip.Prefix]*group{}} }

func (t *tree) hasRoom() bool { return t.root.count < t.max }

// group is one node of a tree. It is a crowd if it holds more than its share.
type group struct {
	prefix      netip.Prefix
	parent      *group
	depth       int
	share       int
	count       int
	first, last *Slot // by age; linked at depth
	children    byCrowding
	worst       int // crowding of the worst crowd, g itself among them
	index       int // in parent.children; negative: not there
}

// shareOf is how many slots the group at index i of p may hold without being a crowd: an address a
// 512th of the table, which is several sign-ins under way, a network a 128th, a network operator
// a 16th, and those that came through a proxy, which has yet to say for whom, one half.
func (t *tree) shareOf(p *path, i int) int {
	if !p.leaf().IsValid() {
		return max(t.max/2, 2)
	}
	switch p.depth - i {
	case 1:
		return max(t.max/512, 2)
	case 2:
		return max(t.max/128, 4)
	}
	return max(t.max/16, 8)
}

// insert adds s as the newest slot.
func (t *tree) insert(s *Slot, p *path) {
	t.added++
	s.tree, s.number = t, t.added
	t.root.push(s)
	g := &t.root
	for i, prefix := range p.groups[:p.depth] {
		child := t.groups[prefix]
		if child == nil {
			child = &group{prefix: prefix, parent: g, depth: i + 1, share: t.shareOf(p, i), index: -1}
			t.groups[prefix] = child
		}
		child.push(s)
		g = child
	}
	s.leaf = g
	t.rank(g)
}

// remove takes s out of its tree.
func (t *tree) remove(s *Slot) {
	leaf := s.leaf
	for g := leaf; g != nil; g = g.parent {
		g.unlink(s)
	}
	s.tree, s.leaf = nil, nil
	t.rank(leaf)
}

// rank puts a leaf that has changed, and the groups that it is part of, where they belong among
// their siblings.
func (t *tree) rank(leaf *group) {
	for g := leaf; g.parent != nil; g = g.parent {
		siblings := &g.parent.children
		g.worst = g.crowding()
		if len(g.children) > 0 {
			g.worst = max(g.worst, g.children[0].worst)
		}
		switch {
		case g.count == 0:
			heap.Remove(siblings, g.index)
			delete(t.groups, g.prefix)
		case g.index < 0:
			heap.Push(siblings, g)
		default:
			heap.Fix(siblings, g.index)
		}
	}
}

// victim returns the slot that makes room for another: the oldest of the worst crowd, or the oldest
// of all if there is no crowd. crowd is the finest crowd that the slot is part of; nil: none. The
// tree holds at least one slot.
func (t *tree) victim() (oldest *Slot, crowd *group) {
	g := &t.root
	for len(g.children) > 0 {
		if g = g.children[0]; g.count > g.share {
			crowd = g
		}
	}
	return g.first, crowd
}

// holds reports whether the address group leaf is part of g.
func (g *group) holds(leaf netip.Prefix) bool {
	return g.prefix == leaf || g.prefix.Contains(leaf.Addr()) && g.prefix.Bits() <= leaf.Bits()
}

func (g *group) push(s *Slot) {
	g.count++
	s.links[g.depth] = link{previous: g.last}
	if g.last == nil {
		g.first = s
	} else {
		g.last.links[g.depth].next = s
	}
	g.last = s
}

func (g *group) unlink(s *Slot) {
	g.count--
	at := s.links[g.depth]
	if at.previous == nil {
		g.first = at.next
	} else {
		at.previous.links[g.depth].next = at.next
	}
	if at.next == nil {
		g.last = at.previous
	} else {
		at.next.links[g.depth].previous = at.previous
	}
	s.links[g.depth] = link{}
}

// crowding is by how many of its shares g is too large, in 1024ths; 0: it is no crowd.
func (g *group) crowding() int { return max(0, g.count-g.share) << 10 / g.share }

// byCrowding is a heap of groups: the worst crowd first, and of equals the one with the oldest
// slot.
type byCrowding []*group

func (h byCrowding) Len() int { return len(h) }

func (h byCrowding) Less(i, j int) bool {
	if h[i].worst != h[j].worst {
		return h[i].worst > h[j].worst
	}
	return h[i].first.number < h[j].first.number
}

func (h byCrowding) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *byCrowding) Push(x any) {
	g := x.(*group)
	g.index = len(*h)
	*h = append(*h, g)
}

func (h *byCrowding) Pop() any {
	last := len(*h) - 1
	g := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	g.index = -1
	return g
}
