package signal

import (
	"cmp"
	"slices"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// presenceInterval is the time between two batches of a room's presence.
const presenceInterval = 100 * time.Millisecond

// presence tells those who asked who joins and leaves their room. What changes is collected for
// presenceInterval, and told as its net change: of a name that came and went nobody hears. It costs
// as much per batch as there are watchers, however often somebody signs in. Guarded by room.mu.
type presence struct {
	watchers map[*session]news // what each has yet to hear that is not in latest; nil: nothing
	latest   news              // since the last batch
	changes  uint64            // counted since the room began
	timer    *time.Timer       // of the next batch; nil while there is nothing to tell
}

// news are the names about which somebody has something to hear.
type news map[string]change

type change struct {
	told   bool   // what they know: that the name is here
	reason string // why it left last
	number uint64 // of the last change: batches are in order
}

// presenceShare is the sender under whose name presence waits in a queue. It is not a user's.
const presenceShare = "*"

// changedLocked notes that somebody joins or leaves.
func (r *room) changedLocked(name string, joins bool, reason string) {
	p := &r.presence
	if len(p.watchers) == 0 {
		return
	}
	last, ok := p.latest[name]
	if !ok {
		last.told = !joins
	}
	if p.latest == nil {
		p.latest = news{}
	}
	p.changes++
	p.latest[name] = change{told: last.told, reason: reason, number: p.changes}
	if p.timer == nil {
		p.timer = time.AfterFunc(presenceInterval, r.tellWatchers)
	}
}

// watchLocked makes s a watcher that knows who is here at this moment.
func (r *room) watchLocked(s *session) {
	var known news
	for name, c := range r.presence.latest {
		if known == nil {
			known = news{}
		}
		c.told = r.members[name] != nil
		known[name] = c
	}
	if r.presence.watchers == nil {
		r.presence.watchers = map[*session]news{}
	}
	r.presence.watchers[s] = known
}

// unwatchLocked ends what watchLocked began.
func (r *room) unwatchLocked(s *session) {
	p := &r.presence
	if delete(p.watchers, s); len(p.watchers) == 0 && p.timer != nil {
		p.timer.Stop() // or it finds nobody to tell
		p.latest, p.timer = nil, nil
	}
}

// tellWatchers tells every watcher one batch. Those who read too slowly get the rest of it with the
// next one.
func (r *room) tellWatchers() {
	for _, s := range r.queueBatch() {
		s.conn.wake()
	}
}

// queueBatch queues a batch for every watcher, and returns them.
func (r *room) queueBatch() []*session {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.presence
	p.timer = nil
	told := make([]*session, 0, len(p.watchers))
	frames := map[string][]byte{}
	batch, late := r.batchLocked(p.latest, frames), false
	for s, own := range p.watchers {
		items := batch
		if own != nil {
			own.add(p.latest)
			items = r.batchLocked(own, frames)
		}
		rest := s.queueNews(items)
		p.watchers[s], late = rest, late || rest != nil
		told = append(told, s)
	}
	if p.latest = nil; late {
		p.timer = time.AfterFunc(presenceInterval, r.tellWatchers)
	}
	return told
}

// add adds what changed later.
func (n news) add(later news) {
	for name, c := range later {
		if earlier, ok := n[name]; ok {
			c.told = earlier.told
		}
		n[name] = c
	}
}

// item is one name's message of a batch.
type item struct {
	name string
	change
	frame []byte // without a number
}

// batchLocked returns what there is to tell, in the order in which it happened. What is to be told
// about a name is the same for everybody: frames has what was encoded already.
func (r *room) batchLocked(n news, frames map[string][]byte) []item {
	items := make([]item, 0, len(n))
	for name, c := range n {
		here := r.members[name] != nil
		if here == c.told {
			continue
		}
		frame, ok := frames[name]
		if !ok {
			frame = r.presenceFrame(name, here, c.reason)
			frames[name] = frame
		}
		items = append(items, item{name, c, frame})
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.number, b.number) })
	return items
}

func (r *room) presenceFrame(name string, here bool, reason string) []byte {
	var m protocol.FromServer = protocol.Left{Name: name, Room: r.name, Reason: reason}
	if here {
		m = protocol.Joined{Name: name, Room: r.name}
	}
	frame, _ := protocol.EncodeServer("", m) // our own types always encode
	return frame
}

// queueNews queues a batch, and returns what there was no room for.
func (s *session) queueNews(batch []item) (rest news) {
	const number = 32 // bytes that a message's number takes
	for _, it := range batch {
		if rest == nil {
			frame := append(make([]byte, 0, len(it.frame)+number), it.frame...)
			if s.conn.carry(message{frame, presenceShare}, common) {
				continue
			}
			rest = news{}
		}
		rest[it.name] = it.change
	}
	return rest
}
