package audit

import (
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// How many lines there are of one sort of event, before further ones are counted.
var (
	ownRate    = limit.Rate{PerSecond: 1, Burst: 100}  // of one user, or of one address group's strangers
	commonRate = limit.Rate{PerSecond: 1, Burst: 1000} // of all strangers together
)

const (
	maxSubjects = 1 << 16 // users and address groups whose rate is remembered
	maxSorts    = 1 << 10 // likewise sorts
	maxFloods   = 4096    // floods that are counted apart in a minute
)

// sort is what events have in common that happen for the same reason. Its values are the program's
// own: nobody can make up new ones.
type sort struct {
	kind   Kind
	code   protocol.Code
	source string
}

// flood is whose events of a sort are counted. With neither user nor group it is everybody's.
type flood struct {
	sort
	user  string       // who proved to be that user
	group netip.Prefix // of a stranger
}

// lines are how many lines there may still be.
type lines struct {
	seed   maphash.Seed
	own    *limit.Buckets[uint64] // by hash of a flood: it takes a quarter of the memory
	common *limit.Buckets[sort]
}

func newLines() lines {
	return lines{
		seed:   maphash.MakeSeed(),
		own:    limit.NewBuckets[uint64](ownRate, maxSubjects),
		common: limit.NewBuckets[sort](commonRate, maxSorts),
	}
}

// isOperators reports whether e is the operator's doing, which nobody else can cause.
func (e *Event) isOperators() bool {
	switch e.Kind {
	case Admin, Kick, Revoked, PolicyReload:
		return true
	}
	return e.Actor != ""
}

// isProven reports whether the user of e is known to be that. A sign-in that is refused only claims a
// name: it must not use up the lines of whoever has it.
func (e *Event) isProven() bool {
	return e.User != "" && (e.Code == "" || e.Kind == Refused || e.Kind == TokenRefused)
}

// floodLocked returns the flood that e is part of, if there are too many like it.
func (l *Log) floodLocked(e Event) (key flood, ok bool) {
	if e.isOperators() {
		return flood{}, false
	}
	key = flood{sort: sort{e.Kind, e.Code, e.Source}}
	if proven := e.isProven(); proven {
		key.user = e.User
	} else {
		key.group = limit.Group(e.Address)
	}
	ok = e.Code == protocol.CodeRateLimited || l.lines.own.Take(maphash.Comparable(l.lines.seed, key), 1) > 0
	switch {
	case ok && l.floods[key] != nil:
	case key.user == "" && l.lines.common.Take(key.sort, 1) > 0, // beyond many strangers there is one flood
		ok && len(l.floods) >= maxFloods:
		return flood{sort: key.sort}, true
	}
	return key, ok
}

// beginLocked makes further events of this minute repetitions of e.
func (l *Log) beginLocked(key flood, e Event) {
	if l.floods == nil {
		l.floods = map[flood]*Event{}
		l.minute.Go(l.endMinutes)
	}
	first := &Event{Kind: e.Kind, Outcome: e.Outcome, Code: e.Code, Source: e.Source, User: key.user}
	if key.user != "" || key.group.IsValid() {
		first.Address = e.Address
	}
	l.floods[key] = first
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
