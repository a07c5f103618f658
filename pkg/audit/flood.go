package audit

import (
	"net/netip"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// maxFloods bounds the address groups that are counted apart in a minute.
const maxFloods = 4096

// flood is what events have in common of which only the first is written.
type flood struct {
	kind  Kind
	code  protocol.Code
	group netip.Prefix
}

// floodLocked returns the flood that e may be part of, if it is of that sort.
func (l *Log) floodLocked(e Event) (key flood, ok bool) {
	if e.Code != protocol.CodeRateLimited && !e.Flood {
		return flood{}, false
	}
	key = flood{e.Kind, e.Code, limit.Group(e.Address)}
	if l.floods[key] == nil && len(l.floods) >= maxFloods {
		key.group = netip.Prefix{}
	}
	return key, true
}

// beginLocked makes further events of this minute repetitions of e.
func (l *Log) beginLocked(key flood, e Event) {
	if l.floods == nil {
		l.floods = map[flood]*Event{}
		l.minute.Go(l.endMinutes)
	}
	l.floods[key] = &Event{Kind: e.Kind, Outcome: e.Outcome, Code: e.Code, Address: e.Address}
	if !key.group.IsValid() {
		l.floods[key].Address = netip.Addr{}
	}
}

// endMinutes writes what was counted, once a minute until nothing is left to write.
func (l *Log) endMinutes() {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-minute.C:
		case <-l.closed:
			return
		}
		if l.endMinute() {
			return
		}
	}
}

func (l *Log) endMinute() (done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isClosed || l.flushLocked() == nil
}

// flushLocked writes what was counted. What it could not write stays, for the next minute or Close.
func (l *Log) flushLocked() error {
	for key, e := range l.floods {
		if e.Repeated > 0 {
			e.Time = time.Now()
			if err := l.writeLocked(*e); err != nil {
				return err
			}
		}
		delete(l.floods, key)
	}
	l.floods = nil
	return nil
}
