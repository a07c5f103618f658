package limit

import "container/list"

// gate counts the attempts of one subject that are under way, and holds those that wait for them.
//
// While somebody waits there is one under way, or one who was called and has yet to look: who comes out of an attempt
// calls the next, and who was called calls the next, unless it waits here again.
type gate struct {
	table    *table
	subject  subject
	underWay int
	waiting  list.List // of chan struct{}, which is closed as a call
}

func (g *gate) leave() {
	g.underWay--
	g.callNext()
}

func (g *gate) queue() *list.Element { return g.waiting.PushBack(make(chan struct{})) }

func (g *gate) callNext() {
	if first := g.waiting.Front(); first != nil {
		close(g.waiting.Remove(first).(chan struct{}))
	}
	// who was called last may come after another gate has taken this one's place
	if g.underWay == 0 && g.waiting.Len() == 0 && g.table.gates[g.subject] == g {
		delete(g.table.gates, g.subject)
	}
}

// giveUp leaves the queue, and passes on a call that has just come.
func (g *gate) giveUp(turn *list.Element) {
	select {
	case <-turn.Value.(chan struct{}):
		g.callNext()
	default:
		g.waiting.Remove(turn)
	}
}
