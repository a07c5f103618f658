package limit

import (
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// subject is whose failures are counted: an address group's, a user's, or those of a user at an address group.
type subject struct {
	user  string
	group netip.Prefix
}

// record is what is remembered of a subject.
type record struct {
	failures int
	last     time.Time // failure
}

// table counts one kind of subjects. Its Throttle's lock guards it.
type table struct {
	opts    ThrottleOptions
	records *simplelru.LRU[subject, record]
	// gates are those in use: as many as there are attempts at most, whom the caller bounds. Were attempts under way in
	// records, a flood of them that is never decided would push out failures, and cost nothing.
	gates map[subject]*gate
}

func newTable(o ThrottleOptions) *table {
	records, _ := simplelru.NewLRU[subject, record](o.Size, nil) // Size is positive
	return &table{opts: o, records: records, gates: map[subject]*gate{}}
}

// state is what there is to know of a subject at one time.
type state struct {
	failures int           // remembered
	delay    time.Duration // still to go
	underWay int           // attempts
	full     bool          // if those under way fail, there is a delay
	gate     *gate         // of those under way
}

func (s state) ifFull() *gate {
	if s.full {
		return s.gate
	}
	return nil
}

func (t *table) at(who subject, now time.Time) state {
	var s state
	if r, ok := t.records.Get(who); ok && now.Sub(r.last) < t.opts.Forget {
		s.failures = r.failures
		s.delay = max(0, r.last.Add(t.opts.delay(r.failures)).Sub(now))
	}
	if s.gate = t.gates[who]; s.gate != nil {
		s.underWay = s.gate.underWay
	}
	s.full = s.underWay > 0 && t.opts.delay(s.failures+s.underWay) > 0
	return s
}

func (t *table) has(who subject) bool { return t.records.Contains(who) }

func (t *table) fail(who subject, now time.Time) {
	t.set(who, record{t.at(who, now).failures + 1, now})
}

// set keeps a copy of the name, which may be part of a long message.
func (t *table) set(who subject, r record) {
	who.user = strings.Clone(who.user)
	t.records.Add(who, r)
}

// forgive takes back n failures.
func (t *table) forgive(who subject, n int) {
	r, ok := t.records.Peek(who)
	if !ok || n == 0 {
		return
	}
	if r.failures -= n; r.failures <= 0 {
		t.records.Remove(who)
		return
	}
	t.set(who, r)
}

// enter counts one more attempt under way.
func (t *table) enter(who subject) *gate {
	g := t.gates[who]
	if g == nil {
		g = &gate{table: t, subject: who}
		t.gates[who] = g
	}
	g.underWay++
	return g
}
