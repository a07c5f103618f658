package limit

import (
	"container/list"
	"net/netip"
)

// groupQueue holds turns by address group: a tree whose levels are the widths of groupLevels,
// served in round robin at each level. The zero groupQueue is empty. Its owner's lock guards it.
type groupQueue struct{ root groupNode }

// groupNode is one group: of groups, or of turns at the narrowest level.
type groupNode struct {
	parent   *groupNode
	prefix   netip.Prefix
	children map[netip.Prefix]*groupNode // nil at the narrowest level
	order    list.List                   // of *groupNode, or of *turn, the next one first
	element  *list.Element               // this node in parent.order
	size     int                         // turns in it
}

// place is where a turn waits.
type place struct {
	node    *groupNode
	element *list.Element
}

func (q *groupQueue) size() int { return q.root.size }

func (q *groupQueue) push(addr netip.Addr, w *turn) place {
	addr = addr.Unmap().WithZone("")
	n := &q.root
	n.size++
	for _, bits := range groupLevels(addr) {
		prefix, _ := addr.Prefix(bits) // the zero Prefix for an invalid address
		n = n.child(prefix)
		n.size++
	}
	return place{n, n.order.PushBack(w)}
}

func (n *groupNode) child(prefix netip.Prefix) *groupNode {
	if c := n.children[prefix]; c != nil {
		return c
	}
	if n.children == nil {
		n.children = map[netip.Prefix]*groupNode{}
	}
	c := &groupNode{parent: n, prefix: prefix}
	c.element = n.order.PushBack(c)
	n.children[prefix] = c
	return c
}

// next returns the turn to be served now, and puts its groups behind the others. The queue is
// not empty.
func (q *groupQueue) next() *turn {
	n := &q.root
	for n.children != nil {
		first := n.order.Front()
		n.order.MoveToBack(first)
		n = first.Value.(*groupNode)
	}
	return n.order.Front().Value.(*turn)
}

// newestOfLargest returns the last turn of the group that has the most, level by level. The
// queue is not empty.
func (q *groupQueue) newestOfLargest() *turn {
	n := &q.root
	for n.children != nil {
		var largest *groupNode
		for e := n.order.Front(); e != nil; e = e.Next() {
			if c := e.Value.(*groupNode); largest == nil || c.size >= largest.size {
				largest = c
			}
		}
		n = largest
	}
	return n.order.Back().Value.(*turn)
}

func (q *groupQueue) remove(p place) {
	p.node.order.Remove(p.element)
	for n := p.node; n != nil; n = n.parent {
		n.size--
		if n.size == 0 && n.parent != nil {
			n.parent.order.Remove(n.element)
			delete(n.parent.children, n.prefix)
		}
	}
}
